use tokio_postgres::Error;

use super::Look;
use crate::source::publication::read_publication;

impl Look<'_> {
    pub(super) async fn publication(&mut self) -> Result<(), Error> {
        let name = self.settings.slot();
        match read_publication(self.client, &name, &self.settings.schema).await? {
            None => {
                let fix = self.fix_of_missing();
                self.findings
                    .error("publication", format!("{name} does not exist"), fix);
            }
            Some(publication) => match &publication.fault {
                Some(fault) => self.findings.error(
                    "publication",
                    fault,
                    format!("drop publication {name}, then set the relay up anew"),
                ),
                None => {
                    self.seen.publication_fingerprint = Some(publication.fingerprint());
                    self.findings.ok("publication", name);
                }
            },
        }
        Ok(())
    }
}
