//! What happens next: the relay's decisions, free of IO and clocks.

mod stream;

pub use stream::StreamEvent;
