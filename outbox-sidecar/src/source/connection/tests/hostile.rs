//! Addresses and files that are almost right.

use testbed::mutation;

use crate::source::connection::hostile;

const TARGET: &str = "connection";

#[test]
fn addresses_with_seeded_mutations_are_addresses_or_errors() {
    let corpus = [
        "postgresql://us%20er:p%3Aw?@h:1,[::1]:2,i/d%2F?sslmode=require&connect_timeout=3",
        "postgres://%2Frun%2Fpg/d?user=u&ssl=true&target_session_attrs=primary",
        r"host=h,i port=1,2 user = 'u' password='a\' \\ b=c' dbname=my\ db sslrootcert=system",
        "hostaddr=127.0.0.1 user=u dbname=d keepalives_idle=5 channel_binding=require",
        "service=app",
    ];
    mutation::replay(TARGET, &corpus, hostile::address);
}

#[test]
fn files_of_services_with_seeded_mutations_are_settings_or_errors() {
    let corpus = [
        "# comment\n[one]\nhost=a\nport=1\n[two]\nhost=b=c\n",
        "[two]\nport = 2\n\n[nested]\nservice=one\n",
    ];
    mutation::replay(TARGET, &corpus, hostile::services);
}

#[test]
fn files_of_passwords_with_seeded_mutations_are_found_or_not() {
    let corpus = [
        "# db:5433:d:u:comment\nother:5433:d:u:a\ndb:5433:d:u:b\n*:*:*:*:c\n",
        r"\:\:1:*:d\\d:*:p\:w\\\x:rest",
    ];
    mutation::replay(TARGET, &corpus, hostile::passwords);
}
