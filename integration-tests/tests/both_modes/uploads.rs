//! Resumable uploads: the offset that is told is the truth, whatever happened before.

use integration_tests::bytes::sha256;
use integration_tests::tus::{Tus, content, location, offset};
use integration_tests::{Person, Server, eventually};
use reqwest::Method;
use reqwest::header::RANGE;

use crate::MODE;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn upload_goes_on_where_it_was_cut_and_becomes_one_file() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let tus = Tus::new(&server, &ann);
    let bytes = content(300_000);
    let path = tus.create("日本.txt", 300_000).await;
    let cut = tus.begin(&path, 0, 300_000, &bytes[..100_000]).await;
    drop(cut);
    eventually("what arrived is stored", async || {
        (tus.offset(&path).await == 100_000).then_some(())
    })
    .await;
    tus.download(&path).await.expect(404);
    for part in [100_000..200_000, 200_000..300_000] {
        let appended = tus.append(&path, part.start as u64, bytes[part.clone()].to_vec());
        assert_eq!(offset(&appended.await.expect(204)), part.end as u64);
    }

    let file = tus.download(&path).await.expect(200);
    assert_eq!(file.body, bytes);
    assert_eq!(
        file.header("etag"),
        Some(&*format!("\"{}\"", sha256(&bytes)))
    );
    let download = path.replace("/uploads/", "/download/");
    let ranged = tus
        .request(Method::GET, &download)
        .header(RANGE, "bytes=99999-200000");
    let ranged = integration_tests::http::send(ranged).await.expect(206);
    assert_eq!(ranged.body, bytes[99_999..=200_000]);
    let about = path.replace("/uploads/", "/files/");
    let about = server
        .http()
        .get(&about, ann.token())
        .await
        .expect(200)
        .json();
    assert_eq!(about["name"], "日本.txt");
    assert_eq!(about["size"], 300_000);
    assert_eq!(about["uploader"], "ann");
    // The last answer may have been lost.
    assert_eq!(tus.offset(&path).await, 300_000);
}

#[tokio::test]
async fn offset_is_the_truth_after_the_server_was_killed() {
    let one_mib = MIB.to_string();
    let mut server = Server::with(MODE, &[("LAKECHAT_FILES__PART_BYTES", &one_mib)]).await;
    let ann = Person::register(&server, "ann").await;
    let bytes = content(5 * MIB);
    let path = Tus::new(&server, &ann)
        .create("big", bytes.len() as u64)
        .await;
    let mut sent = 0;
    for _ in 0..2 {
        let tus = Tus::new(&server, &ann);
        // Two parts and the beginning of a third.
        let until = sent + 2 * MIB + MIB / 2;
        let _open = tus
            .begin(&path, sent as u64, bytes.len() - sent, &bytes[sent..until])
            .await;
        let stored = (sent + 2 * MIB) as u64;
        eventually("two parts are stored", async || {
            (tus.offset(&path).await >= stored).then_some(())
        })
        .await;
        server.kill_9().await;
        server.restart().await;
        sent = Tus::new(&server, &ann).offset(&path).await as usize;
        assert!(sent >= stored as usize && sent < until, "{sent}");
    }
    let tus = Tus::new(&server, &ann);
    let appended = tus.append(&path, sent as u64, bytes[sent..].to_vec()).await;
    assert_eq!(offset(&appended.expect(204)), bytes.len() as u64);
    assert_eq!(
        sha256(&tus.download(&path).await.expect(200).body),
        sha256(&bytes)
    );
}

#[tokio::test]
async fn removed_file_and_ended_upload_leave_nothing() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let tus = Tus::new(&server, &ann);
    let ended = tus.create("ended", 200_000).await;
    tus.append(&ended, 0, content(100_000)).await.expect(204);
    let removed = tus.create("removed", 200_000).await;
    for begin in [0, 100_000] {
        tus.append(&removed, begin, content(100_000))
            .await
            .expect(204);
    }
    let sent = server
        .http()
        .upload(ann.token(), "whole", content(100_000))
        .await;
    let whole = location(&sent.expect(201)).replace("/download/", "/files/");

    let delete =
        async |path: &str, token: &str| server.http().call(Method::DELETE, path, token).await;
    let file = removed.replace("/uploads/", "/files/");
    for path in [&file, &whole] {
        assert_eq!(
            delete(path, bob.token()).await.expect(403).code(),
            "forbidden"
        );
        delete(path, ann.token()).await.expect(204);
        assert_eq!(
            delete(path, ann.token()).await.expect(404).code(),
            "file_not_found"
        );
    }
    tus.download(&removed).await.expect(404);
    let end = async || integration_tests::http::send(tus.request(Method::DELETE, &ended)).await;
    end().await.expect(204);
    assert_eq!(end().await.expect(410).code(), "upload_expired");
    let refused = tus.append(&ended, 100_000, content(1)).await;
    assert_eq!(refused.expect(410).code(), "upload_expired");
    assert_eq!(server.stored_files(), [] as [std::path::PathBuf; 0]);
}
