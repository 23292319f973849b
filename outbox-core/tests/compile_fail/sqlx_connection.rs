use outbox_core::{Message, Outbox};

fn enqueue(outbox: &Outbox, connection: &mut sqlx::PgConnection, message: Message) {
    drop(outbox.enqueue(connection, message));
}

fn main() {}
