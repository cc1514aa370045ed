//! Messages that many people change at once.

use integration_tests::Server;
use integration_tests::conversation::Run;

use crate::MODE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_end_with_the_state_of_history_also_over_a_kill() {
    let mut server = Server::start(MODE).await;
    let mut run = Run::new(&server).await;
    run.act(&[&server]).await;
    run.agrees(&[&server]).await;
    // Then what was missed is read from the rows.
    server.kill_9().await;
    server.restart().await;
    run.come_back(&server).await;
    run.agrees(&[&server]).await;
}
