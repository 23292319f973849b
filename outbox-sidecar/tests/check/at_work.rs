use crate::scenario::Scenario;

use super::findings;

/// A relay at work moves its checkpoint, and the database its log, while `check` looks at one after the other.
#[tokio::test]
async fn what_moves_while_it_is_looked_at_is_no_fault() {
    const LOOKS: usize = 5;
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let writing = async {
        for number in 0.. {
            scenario.enqueue(&client, number..number + 1).await;
        }
    };
    let looking = async {
        for _ in 0..LOOKS {
            let (found, code) = findings(&scenario, &[]).await;
            assert_eq!(code, Some(0), "{found:#?}");
        }
    };
    tokio::select! {
        () = writing => {}
        () = looking => {}
    }
    assert_eq!(relay.exit().unwrap(), None);
}
