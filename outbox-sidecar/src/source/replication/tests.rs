mod impostors;
mod outbox;
mod refusals;
mod shutdown;
mod statuses;
mod streaming;
