use outbox_core::{Inbox, MessageId};

fn accept(inbox: &Inbox, pool: &sqlx::PgPool, id: MessageId) {
    drop(inbox.accept(pool, "settlement", id));
}

fn main() {}
