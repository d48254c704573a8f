//! Health answers: the first byte chooses the code and the content type, the rest is the body.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use verdict::evidence::Said;
use verdict::read::health::{self, Fields, Standing};
use verdict::words::Failure;
use worker_exporter_fuzz::{beat_is_sane, info_is_sane, numbers_are_sane, says_is_sane};

const CODES: [u16; 16] = [200, 200, 200, 200, 204, 299, 400, 401, 404, 418, 429, 500, 503, 302, 99, 999];
const TYPES: [Option<&str>; 4] =
    [Some("application/json"), Some("application/health+json; charset=utf-8"), Some("text/html"), None];

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let code = CODES[usize::from(choice >> 4)];
    let content_type = TYPES[usize::from(choice & 3)];
    let fields = if choice & 4 == 0 {
        Fields::default()
    } else {
        let pointers = [("tasks_total", "/a/0"), ("last_heartbeat", "/b"), ("status", "/c"), ("alive", "/d")];
        Fields::new(
            pointers.iter().map(|(name, at)| ((*name).to_owned(), (*at).to_owned())).collect::<BTreeMap<_, _>>(),
        )
    };
    let named = choice & 8 != 0;
    let fields = fields.with_identity(named.then(|| String::from("/worker")));
    let answer = health::read(code, content_type, body, &fields);
    numbers_are_sane(&answer.numbers);
    beat_is_sane(answer.beat);
    says_is_sane(&answer.says);
    info_is_sane(&answer.info);
    let again = health::read(code, content_type, body, &fields);
    assert_eq!(format!("{answer:?}"), format!("{again:?}"));
    if answer.says.overall == Some(Said::Up) {
        assert_eq!(answer.standing, Standing::Answered);
        assert!((200..300).contains(&code), "up by the code {code}");
        assert_ne!(answer.says.unreadable, Some(Failure::BodyInvalid), "up, and nobody could read it");
        assert_ne!(answer.says.body, Some(Said::Down), "up, and the body says down");
    }
    assert!(answer.says.overall.is_some() == (answer.standing == Standing::Answered));
    assert!(named || answer.identity.is_none(), "nobody asked who it is");
    let identity = answer.identity.clone();
    let own = answer.of("w-1");
    if own.standing == Standing::Answered {
        assert_eq!(identity.as_deref(), Some("w-1"), "a stranger's answer counts");
    } else {
        assert_eq!(own.says.overall, None);
    }
});
