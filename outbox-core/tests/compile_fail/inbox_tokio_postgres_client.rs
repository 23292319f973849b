use outbox_core::{Inbox, MessageId};

fn accept(inbox: &Inbox, client: &tokio_postgres::Client, ids: &[MessageId]) {
    drop(inbox.accept_all(client, "settlement", ids));
}

fn main() {}
