use std::fmt::Write as _;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as it should, or not for ever.
    Warning,
    /// The relay cannot run, or not keep its promise.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at.
    pub(crate) subject: &'static str,
    /// What was found.
    pub(crate) message: String,
    /// What to do, as a command or SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// What a check found, in the order it looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn ok(&mut self, subject: &'static str, message: impl Into<String>) {
        self.0.push(Finding {
            level: Level::Ok,
            subject,
            message: message.into(),
            fix: None,
        });
    }

    pub(crate) fn warning(
        &mut self,
        subject: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (message, fix) = (message.into(), Some(fix.into()));
        self.0.push(Finding {
            level: Level::Warning,
            subject,
            message,
            fix,
        });
    }

    pub(crate) fn error(
        &mut self,
        subject: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (message, fix) = (message.into(), Some(fix.into()));
        self.0.push(Finding {
            level: Level::Error,
            subject,
            message,
            fix,
        });
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Error)
    }

    /// One line each; a fix below what it mends.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for Finding {
            level,
            subject,
            message,
            fix,
        } in &self.0
        {
            let word = match level {
                Level::Ok => "ok     ",
                Level::Warning => "warning",
                Level::Error => "error  ",
            };
            // Writing to a string cannot fail.
            let _ = write!(text, "{word}  {subject}: {message}");
            if let Some(fix) = fix {
                let _ = write!(text, "; fix: {fix}");
            }
            text.push('\n');
        }
        text
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "ok": !self.has_errors(), "findings": self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_what_to_do() {
        let mut findings = Findings::default();
        findings.ok("server", "PostgreSQL 17");
        assert!(!findings.has_errors());
        findings.error("slot", "outbox_p does not exist", "outbox-sidecar init");
        assert!(findings.has_errors());
        assert_eq!(
            findings.to_text(),
            "ok       server: PostgreSQL 17\n\
             error    slot: outbox_p does not exist; fix: outbox-sidecar init\n"
        );
    }
}
