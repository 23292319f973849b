use serde_json::json;

use super::arguments::{ListArguments, State};
use super::open;
use super::table::{summary_line, table};
use crate::cli::{CliError, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::stuck::{Filter, Page, PageOptions, Summary, list, summarise};

/// Lists one page, and counts all of them.
pub(super) async fn execute(command: &ListArguments, settings: &Settings) -> Result<u8, CliError> {
    let options = PageOptions {
        filter: command.filter.filter()?,
        states: State::filter(command.state),
        after: command.after,
        rows_max: usize::try_from(command.limit).unwrap_or(usize::MAX),
    };
    let session = open(settings).await?;
    let page = list(&session, &options).await?;
    let summary = summarise(&session, &options.filter, options.states).await?;
    // A mistyped condition must not look like an all-clear.
    let in_all = if options.filter.is_empty() {
        summary.messages()
    } else {
        let unfiltered = summarise(&session, &Filter::default(), options.states).await?;
        unfiltered.messages()
    };
    if command.json {
        let messages: Vec<_> = page.rows.iter().map(|row| row.to_json()).collect();
        let document = json!({
            "relay": session.relay(),
            "messages": messages,
            "next": page.next.map(|position| position.to_string()),
            "summary": summary.to_json(),
            "in_all": in_all,
        });
        print(&format!("{document:#}"));
    } else {
        print(&text(&page, &summary, in_all));
    }
    Ok(ExitCode::Done.number())
}

/// The table, then what there is in all, then the way to the next page.
pub(super) fn text(page: &Page, summary: &Summary, in_all: u64) -> String {
    let mut text = String::new();
    if !page.rows.is_empty() {
        text.push_str(&table(&page.rows));
        text.push('\n');
    }
    text.push_str(&summary_line(summary));
    if summary.messages() == 0 && in_all > 0 {
        text.push_str(&format!(" that fit; {in_all} in all"));
    }
    if let Some(next) = page.next {
        text.push_str(&format!("\nmore: the same with --after {next}"));
    }
    text
}
