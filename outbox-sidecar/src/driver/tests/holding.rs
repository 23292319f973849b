use outbox_core::relay::{Stop, StuckPolicy};

use super::relay::Outbox;
use crate::driver::Driver;

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_cannot_be_noted_at_once_is_noted_later() {
    let outbox = Outbox::new().await;
    let refuse_twice = "create sequence public.tries;
        create function public.refuse_twice() returns trigger language plpgsql as $$
        begin
            if new.held_at is not null and nextval('public.tries') <= 2 then
                raise exception 'not now';
            end if;
            return new;
        end $$;
        create trigger refuse_twice before update on outbox.relay
            for each row execute function public.refuse_twice()";
    outbox.client.batch_execute(refuse_twice).await.unwrap();
    let settings = outbox.settings(StuckPolicy::Halt);
    let mut driver = Driver::new(settings, Box::new(outbox.broker.sink())).unwrap();
    let stop = Stop::Diverged("the log was set back".to_owned());
    driver.record_hold(stop).await;
    let sql = "select held_reason, (select last_value from public.tries) from outbox.relay";
    let row = outbox.client.query_one(sql, &[]).await.unwrap();
    let (reason, tries): (String, i64) = (row.get(0), row.get(1));
    assert!(reason.contains("the log was set back"), "{reason}");
    assert_eq!(tries, 3);
}
