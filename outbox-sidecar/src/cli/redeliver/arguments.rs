use clap::Args;
use outbox_core::{MessageId, Timestamp};

use crate::cli::arguments::{message_id, time};
use crate::cli::asking_arguments::AskingArguments;
use crate::redelivery::Selection;

/// Of a range of time; conditions must all hold, and of each any of its values.
#[derive(Debug, Args)]
pub(in crate::cli) struct RedeliverArguments {
    /// What was enqueued at this time or later, such as 2026-11-21T05:00:00Z (the messages say it:
    /// outbox-created-at)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) from: Timestamp,
    /// And before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Timestamp,
    /// Only what was published there; may be repeated, as the other conditions may
    #[arg(long, value_name = "DESTINATION")]
    pub(super) of_destination: Vec<String>,
    /// Only of this key
    #[arg(long, value_name = "KEY")]
    pub(super) key: Vec<String>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) message_type: Vec<String>,
    /// Only the message with this id
    #[arg(long, value_name = "ID", value_parser = message_id)]
    pub(super) id: Vec<MessageId>,
    /// Where they go [default: where each was published]
    #[arg(long, value_name = "DESTINATION")]
    pub(super) destination: Option<String>,
    #[command(flatten)]
    pub(super) asking: AskingArguments,
}

impl RedeliverArguments {
    pub(super) fn selection(&self, row_filter: Option<String>) -> Selection {
        Selection {
            from: self.from,
            to: self.to,
            destinations: self.of_destination.clone(),
            keys: self.key.clone(),
            types: self.message_type.clone(),
            ids: self.id.clone(),
            row_filter,
        }
    }
}
