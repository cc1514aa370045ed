//! Uploads: names, types, limits and sums.

use super::*;

#[tokio::test]
async fn raw_bodies_come_back_with_name_type_and_sum() {
    let bench = Bench::new();
    for length in [0, 5, INLINE_BYTES, INLINE_BYTES + 1, 300_000] {
        let bytes = noise(length);
        let lines = [("content-type", "text/csv".to_owned())];
        let sent = send_raw(&bench, &lines, "name=a%20b.csv", &bytes)
            .await
            .expect("taken");
        assert_eq!(sent["name"], "a b.csv");
        assert_eq!(sent["type"], "text/csv");
        assert_eq!(sent["size"], length as u64);
        assert_eq!(sent["sha256"], hex::encode(Sha256::digest(&bytes)));
        assert_eq!(fetch(&bench, &sent).await, bytes);
    }
}

#[tokio::test]
async fn a_raw_bodys_name_is_the_parameter_then_the_header_then_file() {
    let bench = Bench::new();
    let named = (
        "content-disposition",
        "attachment; filename=h.txt".to_owned(),
    );
    for (lines, query, name) in [
        (vec![named.clone()], "name=q.txt", "q.txt"),
        (vec![named.clone()], "", "h.txt"),
        (vec![], "", "file"),
        (vec![], "name=../../x", "../../x"),
        (vec![], "name=a%22b%0D%0Ac", "a\"b\r\nc"),
    ] {
        let sent = send_raw(&bench, &lines, query, b"x").await.expect("taken");
        assert_eq!(sent["name"], name);
    }
    let long = format!("name={}", "x".repeat(256));
    let broken = [("content-disposition", "attachment; filename=\"a".to_owned())];
    for (lines, query, code) in [
        (&[][..], "name=", Code::FileNameInvalid),
        (&[], "name=a%00", Code::FileNameInvalid),
        (&[], &long, Code::FileNameInvalid),
        (&broken, "", Code::FileNameInvalid),
        (&[], "nom=x", Code::ParamUnknown),
    ] {
        assert_eq!(
            send_raw(&bench, lines, query, b"x").await,
            Err(code),
            "{query}"
        );
    }
}

#[tokio::test]
async fn types_that_cannot_be_stored_as_they_are_are_refused() {
    let bench = Bench::new();
    for (name, value, code) in [
        ("content-type", "nonsense", Code::FieldInvalid),
        (
            "content-type",
            "multipart/mixed; boundary=B",
            Code::MediaTypeUnsupported,
        ),
        (
            "content-type",
            "multipart/form-data",
            Code::MultipartInvalid,
        ),
        ("content-encoding", "gzip", Code::MediaTypeUnsupported),
        ("digest", "sha-256=x", Code::FieldInvalid),
    ] {
        let lines = [(name, value.to_owned())];
        assert_eq!(
            send_raw(&bench, &lines, "", b"x").await,
            Err(code),
            "{value}"
        );
    }
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn files_over_the_limit_are_refused_by_what_was_told_and_by_what_comes() {
    let bench = Bench::new();
    let over = noise(MAX_BYTES as usize + 1);
    assert_eq!(
        send_raw(&bench, &[], "", &over).await,
        Err(Code::FileTooLarge)
    );
    assert_eq!(
        send_form(&bench, &one_file(&over)).await,
        Err(Code::FileTooLarge)
    );
    for (media_type, length, start) in [
        ("text/plain", MAX_BYTES + 1, ""),
        (
            FORM,
            3 * MAX_BYTES + 1,
            "--B\r\nContent-Disposition: form-data; filename=a\r\n\r\n",
        ),
    ] {
        let lines = [
            ("content-type", media_type.to_owned()),
            ("content-length", length.to_string()),
        ];
        let body = stream::iter([Ok(Bytes::from_static(start.as_bytes()))]);
        let body = body.chain(stream::pending());
        let problem = send(&bench, &lines, "", body).await.expect_err("refused");
        assert_eq!(
            (problem.code, problem.limit),
            (Code::FileTooLarge, Some(MAX_BYTES))
        );
    }
    bench.assert_nothing_is_left();
    let most = &over[1..];
    send_raw(&bench, &[], "", most).await.expect("at the limit");
    send_form(&bench, &one_file(most))
        .await
        .expect("at the limit");
}

fn sum_of(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn a_named_sum_must_be_that_of_the_bytes() {
    let bench = Bench::new();
    let bytes = noise(100_000);
    let body = one_file(&bytes);
    let wrong = sum_of(b"other");
    for (name, before, after) in [
        ("digest", "sha-256=", ""),
        ("content-digest", "sha-256=:", ":"),
        ("repr-digest", "sha-256=:", ":"),
    ] {
        let naming = |sum: &str| (name, format!("{before}{sum}{after}"));
        let form_type = ("content-type", FORM.to_owned());
        let refused = send_raw(&bench, &[naming(&wrong)], "", &bytes).await;
        assert_eq!(refused, Err(Code::ChecksumMismatch), "{name}");
        let refused = send_raw(&bench, &[form_type.clone(), naming(&wrong)], "", &body).await;
        assert_eq!(refused, Err(Code::ChecksumMismatch), "{name} of a form");
    }
    bench.assert_nothing_is_left();
    let right = ("digest", format!("sha-256={}", sum_of(&bytes)));
    send_raw(&bench, &[right], "", &bytes)
        .await
        .expect("the bytes' own");
    for sum in [sum_of(&bytes), sum_of(&body)] {
        let lines = [
            ("content-type", FORM.to_owned()),
            ("content-digest", format!("sha-256=:{sum}:")),
        ];
        send_raw(&bench, &lines, "", &body)
            .await
            .expect("the file's or the form's");
    }
}

#[tokio::test]
async fn what_is_away_is_503_and_leaves_nothing() {
    for step in [Step::Create, Step::Write, Step::Commit] {
        let bench = Bench::new();
        bench.store.fail_at(step);
        let body = one_file(&noise(200_000));
        assert_eq!(
            send_form(&bench, &body).await,
            Err(Code::StorageUnavailable)
        );
        bench.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn urls_stand_behind_the_configured_base() {
    let bench = Bench::new();
    let (ann, query) = (user("ann"), Query::default());
    let base = Some("https://chat.example/");
    let body = chunked(b"x", 1);
    let answer = upload::receive(&bench.files, &ann, base, &HeaderMap::new(), query, body).await;
    let location = answer.expect("taken").headers()[LOCATION].clone();
    let path = location
        .to_str()
        .unwrap()
        .strip_prefix("https://chat.example/download/");
    assert!(FileId::parse(path.expect("the base")).is_some());
}

#[tokio::test]
async fn the_type_is_told_by_first_bytes_however_they_come() {
    let bench = Bench::new();
    let png = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &noise(70_000)].concat();
    for bytes in [&png[..100], &png] {
        let sent = send(&bench, &[], "", chunked(bytes, 1))
            .await
            .expect("taken");
        assert_eq!(sent["type"], "image/png");
    }
}
