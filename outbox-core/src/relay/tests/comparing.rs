use super::scenario::*;
use crate::relay::{Action, Stop};
use crate::{Position, SystemId, TimelineId};

/// The checkpoint covers row 1 at 1200 and stands at 1240; the test spoils something.
fn resumed(spoil: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut scenario = Scenario::new();
    scenario.published_before(1, 1200, 1240);
    spoil(&mut scenario);
    scenario.run();
    scenario
}

/// The server was promoted where timeline 1 ends.
fn promoted(scenario: &mut Scenario, switch_point: u64) {
    scenario.identity.timeline = TimelineId(2);
    scenario.identity.history = history(&[(1, switch_point)]);
}

#[test]
fn what_fits_goes_on() {
    let mut scenario = resumed(|_| {});
    assert_eq!((scenario.phase(), scenario.stop()), ("activating", None));
    scenario.stream([begin(1200), row(1), commit(1200)]);
    assert_eq!((scenario.phase(), scenario.stop()), ("active", None));
}

#[test]
fn another_cluster_exits_6() {
    let scenario = resumed(|scenario| scenario.identity.system_id = SystemId(9));
    assert_eq!(scenario.exit_code(), Some(6));
}

#[test]
fn an_older_timeline_exits_6() {
    let scenario = resumed(|scenario| scenario.checkpoint.timeline = TimelineId(2));
    assert!(matches!(scenario.stop(), Some(Stop::OtherTimeline { .. })));
    assert_eq!(scenario.exit_code(), Some(6));
}

#[test]
fn a_newer_timeline_that_is_no_descendant_exits_6() {
    for entries in [&[(2, 900)][..], &[(1, 800), (2, 900)], &[]] {
        let scenario = resumed(|scenario| {
            scenario.checkpoint.timeline = TimelineId(2);
            scenario.checkpoint.timeline_history = history(&[(1, 700)]);
            scenario.identity.timeline = TimelineId(3);
            scenario.identity.history = history(entries);
        });
        assert_eq!(scenario.exit_code(), Some(6), "{entries:?}");
    }
}

#[test]
fn two_promotions_to_one_timeline_are_told_apart() {
    let scenario = resumed(|scenario| {
        promoted(scenario, 1240);
        scenario.checkpoint.timeline = TimelineId(2);
        scenario.checkpoint.timeline_history = history(&[(1, 1300)]);
    });
    assert!(matches!(scenario.stop(), Some(Stop::OtherTimeline { .. })));
}

#[test]
fn a_promoted_standby_that_had_everything_goes_on() {
    for switch_point in [1240, 5000] {
        let mut scenario = resumed(|scenario| promoted(scenario, switch_point));
        scenario.stream([begin(1200), row(1), commit(1200)]);
        assert_eq!(scenario.phase(), "active");
        assert_eq!(scenario.published(), [(vec![], at(1240))]);
    }
}

#[test]
fn a_standby_behind_without_phantoms_goes_on_from_the_switch_point() {
    let mut scenario = resumed(|scenario| {
        scenario.checkpoint.frontier = at(9000);
        promoted(scenario, 1240);
        scenario.slot().confirmed_flush = at(1240).lsn;
    });
    assert_eq!(scenario.published(), [(vec![], at(1240))]);
    scenario.stream([begin(1240), row(2), commit(1240)]);
    assert_eq!(scenario.published()[1], (vec![2], at(1280)));
}

#[test]
fn phantoms_exit_6_and_are_remembered() {
    for (switch_point, frontier) in [(1200, at(1240)), (1100, at(1240)), (1200, inside(1200, 1))] {
        let scenario = resumed(|scenario| {
            promoted(scenario, switch_point);
            scenario.checkpoint.frontier = frontier;
        });
        let Some(Stop::Phantoms(phantoms)) = scenario.stop() else {
            panic!("{:?}", scenario.stop())
        };
        assert_eq!(scenario.exit_code(), Some(6));
        assert_eq!(phantoms.list, listed(&phantoms));
        let position = phantoms.last.position();
        let said = format!(
            "3 messages of them: {} at {position} in \"orders\" and 2 more",
            id(1)
        );
        assert!(phantoms.to_string().contains(&said), "{phantoms}");
        let noted = Action::RecordHold(Stop::Phantoms(phantoms));
        assert!(scenario.did(|action| *action == noted), "with the list");
        assert!(!scenario.did(|action| matches!(action, Action::Acquire(..))));
        assert!(scenario.published().is_empty() && scenario.confirmed().is_empty());
    }
}

#[test]
fn a_missing_slot_exits_4() {
    let scenario = resumed(|scenario| scenario.inspection.slot = None);
    assert_eq!(scenario.exit_code(), Some(4));
}

#[test]
fn a_lost_slot_exits_4() {
    let scenario = resumed(|scenario| scenario.slot().fault = Some("lost".into()));
    assert_eq!(scenario.exit_code(), Some(4));
}

#[test]
fn a_slot_ahead_of_the_checkpoint_exits_5() {
    let scenario = resumed(|scenario| scenario.slot().confirmed_flush = at(1241).lsn);
    assert_eq!(scenario.exit_code(), Some(5));
    let scenario = resumed(|scenario| scenario.slot().confirmed_flush = at(1240).lsn);
    assert_eq!(scenario.exit_code(), None);
}

#[test]
fn a_slot_ahead_is_named_before_a_log_set_back() {
    let scenario = resumed(|scenario| {
        scenario.slot().confirmed_flush = at(1241).lsn;
        scenario.inspection.wal_end = at(1100).lsn;
    });
    assert_eq!(scenario.exit_code(), Some(5));
}

#[test]
fn a_log_that_ends_before_the_checkpoint_exits_6_and_is_remembered() {
    let scenario = resumed(|scenario| scenario.inspection.wal_end = at(1239).lsn);
    assert!(matches!(scenario.stop(), Some(Stop::LogSetBack { .. })));
    assert!(scenario.recorded_hold());
    assert!(!scenario.did(|action| matches!(action, Action::Acquire(..))));
}

#[test]
fn an_altered_publication_exits_2() {
    let altered = resumed(|scenario| {
        scenario.inspection.publication_fingerprint = Some("other".into());
    });
    assert_eq!(altered.exit_code(), Some(2));
    let unfit = resumed(|scenario| {
        scenario.inspection.publication_fault = Some("it publishes updates".into());
    });
    assert_eq!(unfit.exit_code(), Some(2));
}

#[test]
fn a_publication_that_was_made_anew_exits_4_whoever_notices() {
    let resumed_with = |found: &str| {
        resumed(|scenario| {
            scenario.checkpoint.publication_fingerprint = "7/1 8.1 ab".into();
            scenario.inspection.publication_fingerprint = Some(found.to_owned());
        })
        .exit_code()
    };
    assert_eq!(resumed_with("9/2 10.2 ab"), Some(4));
    assert_eq!(resumed_with("7/2 8.1 ab"), Some(2));
    assert_eq!(resumed_with("7/1 8.1 ab"), None);
}

#[test]
fn an_altered_publication_that_an_operator_accepted_is_the_checkpoints_from_then_on() {
    let altered = |accepted: &str| {
        let accepted = accepted.to_owned();
        resumed(|scenario| {
            scenario.inspection.publication_fingerprint = Some("altered".into());
            let relay = scenario.inspection.relay.as_mut().unwrap();
            relay.publication_accepted = Some(accepted);
        })
    };
    assert_eq!(altered("an earlier one").exit_code(), Some(2));
    let mut scenario = altered("altered");
    scenario.stream([begin(1200), row(1), commit(1200)]);
    scenario.stream([begin(1300), row(2), commit(1300)]);
    assert_eq!((scenario.phase(), scenario.stop()), ("active", None));
    assert_eq!(scenario.checkpoint.publication_fingerprint, "altered");
}

#[test]
fn a_missing_publication_exits_4() {
    let scenario = resumed(|scenario| scenario.inspection.publication_fingerprint = None);
    assert_eq!(scenario.exit_code(), Some(4));
}

#[test]
fn without_init_the_relay_exits_4() {
    let never = resumed(|scenario| scenario.inspection.relay = None);
    assert_eq!(never.exit_code(), Some(4));
    let half = resumed(|scenario| {
        scenario.inspection.relay.as_mut().unwrap().genesis_written = false;
    });
    assert_eq!(half.exit_code(), Some(4));
}

#[test]
fn what_was_held_earlier_stays_held_with_its_exit_code() {
    let scenario = resumed(|scenario| {
        scenario.inspection.relay.as_mut().unwrap().held = Some((6, "phantoms".into()));
    });
    assert_eq!(scenario.exit_code(), Some(6));
    assert!(!scenario.recorded_hold(), "it is written down already");
}

#[test]
fn phantoms_are_what_the_lost_timeline_had_from_the_switch_to_the_last() {
    let scenario = resumed(|scenario| promoted(scenario, 1100));
    let Some(Stop::Phantoms(phantoms)) = scenario.stop() else {
        panic!("{:?}", scenario.stop())
    };
    let include = |timeline, commit_lsn| {
        let position = Position {
            commit_lsn: at(commit_lsn).lsn,
            index: 0,
        };
        phantoms.include(TimelineId(timeline), position)
    };
    assert_eq!(
        [1099, 1100, 1200, 1201].map(|lsn| include(1, lsn)),
        [false, true, true, false]
    );
    assert!(!include(2, 1150), "of the surviving timeline");
}
