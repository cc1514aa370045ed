//! Pages, resumes and rosters at any mark, with any tail, over restarts.

use lakechat_core::chat::clock::boot_ms;

use crate::chance::{Cast, Chance};
use crate::checks::Checks;
use crate::model::Model;
use crate::server::{Server, Shape};
use crate::under_seeds;

const STEPS: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn reads_match_the_model() {
    under_seeds(8, async |seed| {
        let mut chance = Chance::new(seed);
        let shape = chance.shape();
        story(&mut chance, shape).await;
    })
    .await;
}

/// Then `history_unavailable` would be without need, and [`Checks`] says so.
#[tokio::test(flavor = "multi_thread")]
async fn with_room_for_all_in_the_tail_no_read_is_refused() {
    under_seeds(3, async |seed| {
        let mut chance = Chance::new(seed);
        let shape = chance.shape_with_large_tail();
        story(&mut chance, shape).await;
    })
    .await;
}

async fn story(chance: &mut Chance, mut shape: Shape) {
    let folder = tempfile::tempdir().expect("a folder");
    let cast = Cast::new(chance);
    let mut model = Model::new(shape.partitions);
    let mut server = Server::start(folder.path(), &shape).await;
    let tokens = cast.enter(&server).await;
    for _ in 0..STEPS {
        match chance.below(20) {
            0..7 => {
                for _ in 0..=chance.below(60) {
                    cast.publish(&server, chance);
                }
            }
            7 => server.history.set_open(false),
            8 => server.history.set_open(true),
            9 => server.history.fail_one_in(*chance.of(&[0, 0, 10])),
            10 => server.log.tick(boot_ms(), *chance.of(&[0, 300_000])),
            11 if chance.one_in(3) => {
                server.stop().await;
                shape = Shape {
                    partitions: shape.partitions,
                    ..chance.shape()
                };
                server = Server::start(folder.path(), &shape).await;
            }
            _ => {
                let mut checks = Checks {
                    server: &server,
                    model: &mut model,
                    cast: &cast,
                    tokens: &tokens,
                };
                checks.any(chance).await;
            }
        }
    }
    server.history.set_open(true);
    server.history.fail_one_in(0);
    let mut checks = Checks {
        server: &server,
        model: &mut model,
        cast: &cast,
        tokens: &tokens,
    };
    checks.stored().await;
    checks.rosters().await;
    server.stop().await;
    let server = Server::start(folder.path(), &shape).await;
    let mut checks = Checks {
        server: &server,
        model: &mut model,
        cast: &cast,
        tokens: &tokens,
    };
    checks.stored().await;
    checks.rosters().await;
    server.stop().await;
}
