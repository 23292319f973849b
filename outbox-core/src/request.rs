use std::fmt;

use serde::Deserialize;

use crate::MessageId;

/// The identity of what an operator asked of a relay: the id of its row in `outbox.request`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(MessageId);

impl RequestId {
    /// How the prefix of each request's logical message begins; the relay's name follows.
    pub const PREFIX: &'static str = "outbox.request.";

    /// From the sixteen bytes of a UUID.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(MessageId::from_bytes(bytes))
    }

    /// The sixteen bytes of the UUID.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Whose requests those are whose logical messages have this prefix: the relay of this name.
    #[must_use]
    pub fn prefix(relay: &str) -> String {
        format!("{}{relay}", Self::PREFIX)
    }

    /// Reads the content of a logical message, as the trigger on `outbox.request` emits it; `None`
    /// for anything else.
    ///
    /// ```
    /// use outbox_core::RequestId;
    ///
    /// let content = r#"{"format": 1, "id": "0190163d-8694-739b-aea5-966c26f8ad91"}"#;
    /// let id = RequestId::read(content.as_bytes()).map(|id| id.to_string());
    /// assert_eq!(id.as_deref(), Some("0190163d-8694-739b-aea5-966c26f8ad91"));
    /// assert_eq!(RequestId::read(b"something else"), None);
    /// ```
    #[must_use]
    pub fn read(content: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content<'a> {
            format: u32,
            id: &'a str,
        }
        let content: Content<'_> = serde_json::from_slice(content).ok()?;
        let id = (content.format == FORMAT).then(|| content.id.parse().ok())??;
        Some(Self(id))
    }
}

/// The version of the logical message's content.
const FORMAT: u32 = 1;

impl From<MessageId> for RequestId {
    fn from(id: MessageId) -> Self {
        Self(id)
    }
}

impl From<RequestId> for MessageId {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
