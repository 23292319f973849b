use outbox_core::{Message, Outbox};

fn enqueue(outbox: &Outbox, client: &tokio_postgres::Client, message: Message) {
    drop(outbox.enqueue_all(client, [message]));
}

fn main() {}
