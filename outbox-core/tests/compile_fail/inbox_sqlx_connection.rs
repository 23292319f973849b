use outbox_core::{Inbox, MessageId};

fn accept(inbox: &Inbox, connection: &mut sqlx::PgConnection, id: MessageId) {
    drop(inbox.accept(connection, "settlement", id));
}

fn main() {}
