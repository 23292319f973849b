use super::BacklogPolicy;
use crate::source::connection::Address;

/// How `init` is to go about it.
#[derive(Clone, Debug)]
pub(crate) struct InitOptions {
    /// Who may create what is missing; the relay's own URL otherwise.
    pub(crate) admin: Option<Address>,
    pub(crate) relay_role: Option<String>,
    pub(crate) app_role: Option<String>,
    pub(crate) backlog: BacklogPolicy,
    /// The publication was altered and put back, and whoever runs `init` sees to what it left out.
    pub(crate) accept_publication: bool,
}
