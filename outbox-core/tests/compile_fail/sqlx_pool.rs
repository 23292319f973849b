use outbox_core::{Message, Outbox};

fn enqueue(outbox: &Outbox, pool: &sqlx::PgPool, message: Message) {
    drop(outbox.enqueue(pool, message));
}

fn main() {}
