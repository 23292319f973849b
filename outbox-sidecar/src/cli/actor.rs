/// Who asks, as far as this side knows: `--actor`, `OUTBOX_ACTOR`, or the user at this host. Without
/// any, the database's role.
pub(super) fn actor(given: Option<&str>) -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    given
        .map(str::to_owned)
        .or_else(|| variable("OUTBOX_ACTOR"))
        .or_else(|| {
            let user = variable("SUDO_USER").or_else(|| variable("USER"))?;
            let host = nix::unistd::gethostname().ok();
            let host = host.map(|host| host.to_string_lossy().into_owned());
            Some(host.map_or_else(|| user.clone(), |host| format!("{user}@{host}")))
        })
}
