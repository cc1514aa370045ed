use super::super::check::ChannelCheck;
use super::super::message::{Script, Sent};
use super::super::run::Habits;
use super::*;
use lakechat_core::domain::Id;

fn report(spoil: impl FnOnce(&mut ChannelCheck)) -> RunReport {
    let habits = Habits {
        rate: 1.0,
        stay: Duration::ZERO,
        away: Duration::ZERO,
        reconnect_within: Duration::from_secs(9),
    };
    let script = Script::new("sim".to_owned(), 0xab, 64);
    let run = Run::new(script, habits, 1, Duration::from_secs(10));
    spoil(&mut run.check(1));
    let mut tally = run.figures.tally();
    let second = Duration::from_secs;
    tally.acked(second(3), second(2), false);
    tally.began_kill(second(4));
    tally.disconnected();
    tally.reconnected(second(6), 2, second(5));
    tally.delayed("rate_limited: A channel takes at most 200 messages per second".to_owned());
    drop(tally);
    let scene = Scene {
        urls: vec!["http://a/?<b>".to_owned()],
        users: 2,
        channels: 1,
        joins: 1,
        rate: 2.0,
        size: 64,
        duration_s: 10.0,
        seed: 7,
        prefix: "sim".to_owned(),
        reconnect_within_s: 9.0,
        kill: None,
    };
    RunReport::of(&run, scene, false, second(10))
}

#[test]
fn first_fault_is_named_with_sender_channel_ids_and_who_missed_it() {
    let sent = Sent {
        channel: 1,
        sender: 1,
        seq: 5,
    };
    let report = report(|check| {
        check.joined(2, Id::from_u64(3).unwrap());
        check.sending(sent, Duration::ZERO);
        check.acked(sent, Id::from_u64(4).unwrap());
        check.finish();
    });
    assert!(!report.passed);
    let text = text(&report);
    let first = "FAILED: lost: message 000000ab-1-1-5 of sim-1 in sim-c1, id 00000000000000000004: sim-2 \
                 received nothing after 00000000000000000003\n";
    assert!(text.starts_with(first), "{text}");
}

#[test]
fn reports_without_faults_pass_and_show_kills_and_limits() {
    let report = report(|_| ());
    let text = text(&report);
    assert!(text.starts_with("PASSED: "), "{text}");
    for shown in [
        "at 4.0 s; the command took 0.0 s; 1 people cut, all back after 2.0 s",
        "raise limits.sends_per_channel",
        "reconnect      1 times; median 1.0 s",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["passed"], true);
    assert_eq!(json["outages"][0]["took"], 1.0);
}

#[test]
fn page_has_plots_and_asks_for_nothing_else() {
    let page = page(&report(|_| ()));
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
    for outside in ["<script", "<link", "<img", "src=", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("<circle class=\"reconnect\""));
}
