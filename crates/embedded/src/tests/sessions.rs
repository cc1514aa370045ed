//! Removal of expired login sessions.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{DEADLINE, Opened, open};
use crate::EmbeddedSettings;
use crate::maintenance::expired_sessions::SessionScan;

const HOUR_MS: u64 = 3_600_000;

/// Inserts sessions of a thousand users; `ago` gives the hours since each expired.
fn fill(o: &Opened, sessions: u64, ago: impl Fn(u64) -> u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_millis() as u64;
    let mut shell = o.shell();
    shell.busy_timeout(DEADLINE).unwrap();
    let tx = shell.transaction().unwrap();
    for n in 0..sessions {
        let (user, id) = (format!("u{}", n % 1_000), format!("{n:08}"));
        let expires_at = (now - ago(n) * HOUR_MS) as i64;
        let insert =
            "INSERT INTO sessions (user, id, refresh_hash, created_at, expires_at, revoked)
                      VALUES (?1, ?2, 'hash', 0, ?3, 0)";
        tx.execute(insert, rusqlite::params![user, id, expires_at])
            .unwrap();
    }
    tx.commit().unwrap();
}

fn count(o: &Opened) -> u64 {
    let count = o
        .shell()
        .query_row("SELECT count(*) FROM sessions", [], |row| {
            row.get::<_, i64>(0)
        });
    count.unwrap() as u64
}

fn run(o: &Opened, scan: &mut SessionScan) -> usize {
    scan.run(&o.embedded.engine, || true).unwrap()
}

#[test]
fn sessions_are_removed_a_day_after_they_expired() {
    let o = open(EmbeddedSettings::default());
    let mut scan = SessionScan::default();
    assert_eq!(run(&o, &mut scan), 0, "there are none");
    fill(&o, 3_500, |n| if n % 7 == 0 { 25 } else { 23 });
    assert_eq!(run(&o, &mut scan), 500);
    assert_eq!(count(&o), 3_000);
    assert_eq!(run(&o, &mut scan), 0);
}

#[test]
fn scan_continues_where_it_stopped_and_starts_over() {
    let o = open(EmbeddedSettings::default());
    fill(&o, 25_000, |_| 25);
    let mut scan = SessionScan::default();
    assert_eq!(scan.run(&o.embedded.engine, || false).unwrap(), 0);
    let gone: Vec<_> = (0..4).map(|_| run(&o, &mut scan)).collect();
    assert_eq!(gone, [10_000, 10_000, 5_000, 0]);
    fill(&o, 10, |_| 25);
    assert_eq!(run(&o, &mut scan), 10, "it begins again");
    assert_eq!(count(&o), 0);
}

#[test]
fn maintenance_removes_expired_sessions() {
    let o = open(EmbeddedSettings {
        maintenance_interval: Duration::from_millis(20),
        ..EmbeddedSettings::default()
    });
    fill(&o, 10, |n| if n == 3 { 1 } else { 30 });
    let until = Instant::now() + DEADLINE;
    while count(&o) > 1 {
        assert!(Instant::now() < until, "{} are left", count(&o));
    }
    let kept = "SELECT id FROM sessions";
    let kept = o.shell().query_row(kept, [], |row| row.get::<_, String>(0));
    assert_eq!(kept.unwrap(), "00000003");
}
