//! Forms with one file, and forms that are none.

use super::*;
use proptest::prelude::*;

#[tokio::test]
async fn forms_give_their_one_file_and_its_name() {
    let bench = Bench::new();
    let table = [
        (r#"name="f"; filename="a.txt""#, "a.txt"),
        (r#"name="f"; filename="a%22b%0D%0Ac""#, "a\"b\r\nc"),
        (r#"name="f"; filename="日本.txt""#, "日本.txt"),
        (r#"name="f"; filename="../../x""#, "../../x"),
        (r#"name="f"; filename*=UTF-8''%E6%97%A5"#, "日"),
    ];
    for (disposition, name) in table {
        let body = form(&[
            part("name=\"note\"", "", b"a field"),
            part(disposition, "Content-Type: text/x-a\r\n", b"\r\n--b\r\n"),
            part("name=\"after\"", "", b""),
        ]);
        let sent = send_form(&bench, &body).await.expect(name);
        assert_eq!(
            (&sent["name"], &sent["type"]),
            (&name.into(), &"text/x-a".into())
        );
        assert_eq!(fetch(&bench, &sent).await, &b"\r\n--b\r\n"[..]);
    }
    let sent = send_form(&bench, &one_file(b""))
        .await
        .expect("an empty file");
    assert_eq!(
        (&sent["size"], &sent["type"]),
        (&0.into(), &"application/octet-stream".into())
    );
}

#[tokio::test]
async fn a_file_input_that_nobody_filled_is_no_file() {
    let bench = Bench::new();
    let binary = "Content-Transfer-Encoding: BINARY\r\n";
    let chosen = part("name=\"a\"; filename=\"a.txt\"", binary, b"hello");
    let kind = "Content-Type: application/octet-stream\r\n";
    let unchosen = part("name=\"b\"; filename=\"\"", kind, b"");
    for parts in [
        [chosen.clone(), unchosen.clone()],
        [unchosen.clone(), chosen.clone()],
    ] {
        let sent = send_form(&bench, &form(&parts)).await.expect("one file");
        assert_eq!(sent["name"], "a.txt");
        assert_eq!(fetch(&bench, &sent).await, "hello");
    }
}

#[tokio::test]
async fn forms_that_are_none_leave_nothing() {
    let bench = Bench::new();
    let big = noise(200_000);
    let file = || part("name=\"f\"; filename=\"a\"", "", &big);
    let whole = form(&[file()]);
    let fields = |n: usize, bytes: &[u8]| form(&vec![part("name=\"x\"", "", bytes); n]);
    let encoded = |encoding: &str| {
        let header = format!("Content-Transfer-Encoding: {encoding}\r\n");
        form(&[part("filename=a", &header, b"aGVsbG8=")])
    };
    let headers = format!("X-Long: {}\r\n", "x".repeat(40_000));
    let table: Vec<(&str, Vec<u8>, Code)> = vec![
        ("two files", form(&[file(), file()]), Code::TooManyFiles),
        ("no file", fields(1, b"x"), Code::FileMissing),
        ("no part", b"--B--\r\n".to_vec(), Code::FileMissing),
        ("empty", vec![], Code::MultipartInvalid),
        ("no boundary", big.clone(), Code::MultipartInvalid),
        (
            "no end",
            whole[..whole.len() - 4].to_vec(),
            Code::MultipartInvalid,
        ),
        ("cut", whole[..100_000].to_vec(), Code::MultipartInvalid),
        ("many fields", fields(33, b"x"), Code::MultipartInvalid),
        (
            "large fields",
            fields(2, &big[..40_000]),
            Code::MultipartInvalid,
        ),
        (
            "long tail",
            [&whole[..], &big].concat(),
            Code::MultipartInvalid,
        ),
        (
            "long headers",
            form(&[part("filename=a", &headers, b"")]),
            Code::MultipartInvalid,
        ),
        (
            "broken header",
            form(&[part("filename=\"a", "", b"")]),
            Code::MultipartInvalid,
        ),
        (
            "no name",
            form(&[part("filename=\"\"", "", b"x")]),
            Code::FileNameInvalid,
        ),
        (
            "an unchosen file",
            form(&[part("filename=\"\"", "", b"")]),
            Code::FileMissing,
        ),
        (
            "unchosen files",
            form(&vec![part("filename=\"\"", "", b""); 33]),
            Code::MultipartInvalid,
        ),
        ("base64", encoded("base64"), Code::MultipartInvalid),
        (
            "quoted-printable",
            encoded("Quoted-Printable"),
            Code::MultipartInvalid,
        ),
        (
            "no header",
            b"--B\r\nX: y\r\n\r\nz\r\n--B--".to_vec(),
            Code::MultipartInvalid,
        ),
    ];
    for (what, body, code) in table {
        assert_eq!(send_form(&bench, &body).await, Err(code), "{what}");
        bench.assert_nothing_is_left();
    }
    let lines = [("content-type", FORM.to_owned())];
    assert_eq!(
        send_raw(&bench, &lines, "name=a", &whole).await,
        Err(Code::ParamUnknown)
    );
}

#[tokio::test]
async fn a_forms_broken_body_keeps_its_problem() {
    let bench = Bench::new();
    let whole = one_file(&noise(200_000));
    let lines = [("content-type", FORM.to_owned())];
    for cut in [0, 10, 100_000, whole.len() - 3, whole.len()] {
        let broken = Problem::new(Code::RequestTimeout, "too slow");
        let body = chunked(&whole[..cut], 10_000).chain(stream::iter([Err(broken)]));
        let problem = send(&bench, &lines, "", body).await.expect_err("breaks");
        assert_eq!(problem.code, Code::RequestTimeout, "{cut}");
        bench.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn a_quick_forms_memory_is_bounded() {
    const CHUNK: usize = 64 * 1024;
    let bench = Bench::with(u64::MAX, INLINE_BYTES);
    let given = Arc::new(AtomicUsize::new(0));
    let shared = bench.store.shared.clone();
    let counted = given.clone();
    let head = "--B\r\nContent-Disposition: form-data; filename=a\r\n\r\n";
    let data = stream::iter(0..200).map(move |_| {
        let given = counted.fetch_add(CHUNK, Ordering::SeqCst) + CHUNK;
        let held = given - shared.taken.load(Ordering::SeqCst);
        assert!(held <= INLINE_BYTES + 2 * CHUNK, "{held} bytes held");
        Ok(Bytes::from_static(&[7; CHUNK]))
    });
    let body = stream::iter([Ok(Bytes::from(head))])
        .chain(data)
        .chain(stream::iter([Ok(Bytes::from_static(b"\r\n--B--"))]));
    let lines = [("content-type", FORM.to_owned())];
    let sent = send(&bench, &lines, "", body).await.expect("taken");
    assert_eq!(sent["size"], 200 * CHUNK as u64);
}

/// Bytes that look like boundaries and their beginnings.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 9] = [
        b"\r\n", b"\r", b"\n--", b"\r\n--b", b"--B", b"\r\n--", b"-", b"x", b"\0\xff",
    ];
    let piece = prop::sample::select(pieces.to_vec());
    prop::collection::vec(piece, 0..60).prop_map(|pieces| {
        let mut bytes = pieces.concat();
        // A line of the file that is a boundary would be one.
        while let Some(at) = bytes.windows(5).position(|w| w == b"\r\n--B") {
            bytes[at + 4] = b'b';
        }
        bytes
    })
}

proptest! {
    #[test]
    fn a_form_is_read_alike_however_it_is_cut(
        bytes in tricky(),
        cuts in prop::collection::vec(1_usize..40, 1..20),
        fields in 0_usize..3,
    ) {
        let mut parts = vec![part("name=\"x\"", "", b"field\r\n-"); fields];
        parts.insert(fields / 2, part("name=\"f\"; filename=\"a\"", "", &bytes));
        let body = [b"preamble\r\n", &form(&parts)[..], b"epilogue"].concat();
        let mut rest = Bytes::from(body);
        let mut chunks = Vec::new();
        for size in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            chunks.push(Ok(rest.split_to(size.min(rest.len()))));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::with(MAX_BYTES, 16);
            let lines = [("content-type", FORM.to_owned())];
            let sent = send(&bench, &lines, "", stream::iter(chunks)).await.expect("well formed");
            assert_eq!(fetch(&bench, &sent).await, bytes);
        });
    }

    #[test]
    fn no_bytes_make_the_form_panic_or_wait(
        pieces in prop::collection::vec(prop_oneof![
            tricky(),
            Just(b"--B\r\n".to_vec()),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"Content-Disposition: form-data; filename=a\r\n\r\n".to_vec()),
            Just(b"\r\n--B--".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
        ], 0..12),
        size in 1_usize..50,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::with(MAX_BYTES, 16);
            let body = pieces.concat();
            let lines = [("content-type", FORM.to_owned())];
            let sent = send(&bench, &lines, "", chunked(&body, size));
            let deadline = std::time::Duration::from_secs(10);
            let answer = tokio::time::timeout(deadline, sent).await.expect("it answers");
            if answer.is_err() {
                bench.assert_nothing_is_left();
            }
        });
    }
}
