//! Redis over TLS: servers share presence if they trust its certificate, and say why if they don't.

use integration_tests::cluster::Cluster;
use integration_tests::redis_server::RedisServer;
use integration_tests::{Person, Server, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_presence_over_tls_and_refuse_a_certificate_that_they_do_not_trust() {
    let redis = RedisServer::absent().expect("a port").over_tls().await;
    let mut redis = redis.expect("a certificate");
    redis.start().await.expect("it answers");
    let cluster = Cluster::fresh().await.expect("a part of the services");
    let (url, certificate) = (redis.url(), redis.certificate());
    let certificate = certificate.to_str().expect("UTF-8");
    let trusting = [
        ("LAKECHAT_REDIS__URL", &*url),
        ("SSL_CERT_FILE", certificate),
    ];
    let a = Server::of(&cluster, &trusting).await;
    let b = Server::of(&cluster, &trusting).await;
    for server in [&a, &b] {
        server.part_is("presence", "up").await;
    }
    let ann = Person::register(&a, "ann").await;
    let _at_a = ann.joined(&a, "general").await;
    eventually("b shows who is at a", async || {
        let path = "/channels/general/presence";
        let answer = b.http().get(path, ann.token()).await.expect(200).json();
        let whole = answer["degraded"] == false;
        (whole && answer["members"][0]["user"] == json!("ann")).then_some(())
    })
    .await;

    let doubting = Server::of(&cluster, &trusting[..1]).await;
    let reason = doubting.part_says("presence", "certificate").await;
    assert!(reason.contains("127.0.0.1"), "{reason}");
    let (_, ready) = doubting.part_is("presence", "degraded").await;
    assert!(ready, "chat goes on");
}
