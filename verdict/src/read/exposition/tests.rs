//! By the rules of the format: what must be read, and what must be refused, with the words of its mistake.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

fn all(text: &str, format: Format) -> Result<Vec<Family<'_>>, Vec<Mistake>> {
    let mut families = Vec::new();
    read(text.as_bytes(), format, &Limits::default(), &mut |family| families.push(family))?;
    Ok(families)
}

fn openmetrics(text: &str) -> Result<Vec<Family<'_>>, Vec<Mistake>> {
    all(text, Format::OpenMetrics)
}

/// Each is followed by `# EOF`.
const GOOD: &[&str] = &[
    "",
    "a 1\n",
    "a{} 1\n",
    "a 1 2\n",
    "a{b=\"c\"} 1 -2.5e-3\n",
    "a .5\nb 5.\nc +1\nd 00.10\ne 1E3\nf inf\ng -INFINITY\nh nan\n",
    "a{b=\"\\n\\\"\\\\\\z # } ,\"} 1\n",
    "a{b=\"\"} 1\na{b=\"x\"} 1\n",
    "# HELP a \n# UNIT a \n# TYPE a gauge\n",
    "# TYPE a_s counter\n# UNIT a_s s\n# HELP a_s x \\n y\na_s_total 1\na_s_created 1.5\n",
    "# TYPE a counter\na_total 1 # {} 1\n",
    "# TYPE a counter\na_total 1 1 # {b=\"c\"} 0.5 12\n",
    "# TYPE a gauge\na 1 1\na 2 1\na 3 2\n",
    "# TYPE a histogram\na_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 1 # {x=\"y\"} 3\n",
    "# TYPE a histogram\na_bucket{le=\"1e-3\"} 0\na_bucket{le=\"00.50\"} 1\na_bucket{le=\"+Inf\"} 2\na_count 2\na_sum 1\na_created 3\n",
    "# TYPE a histogram\na_bucket{b=\"1\",le=\"+Inf\"} 2\na_count{b=\"1\"} 2\na_sum{b=\"1\"} 1\na_bucket{b=\"2\",le=\"+Inf\"} 2\n",
    "# TYPE a gaugehistogram\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum -3\n",
    "# TYPE a summary\na_count 1\na_sum 2\na{quantile=\"0.5\"} NaN\na{quantile=\"1\"} 3\n",
    "# TYPE a info\na_info{b=\"1\"} 1 2\na_info{b=\"2\"} 1 1\n",
    "# TYPE a stateset\na{a=\"x\"} 1\na{a=\"y\"} 0\n",
    "# TYPE a unknown\na -1\n",
    "# TYPE a counter\na_total 1\n# TYPE b gauge\n",
];

/// What is wrong, and the words that say so.
#[rustfmt::skip]
const BAD: &[(&str, &str)] = &[
    ("a 1\n", "no # EOF"), ("", "no # EOF"), ("a 1\n# EOF\n\n", "behind # EOF"), ("# EOF\na 1\n", "behind # EOF"),
    ("# EOF \n", "no such line"), ("#EOF\n", "no such line"), ("\n# EOF\n", "an empty line"),
    ("# a comment of somebody\n# EOF\n", "no such line"), ("# FOO a b\n# EOF\n", "no such line"),
    ("# TYPE a\n# EOF\n", "no such line"), ("# TYPE a meh\n# EOF\n", "is not a type"),
    ("# TYPE a gauge \n# EOF\n", "is not a type"), ("# TYPE a untyped\n# EOF\n", "is not a type"),
    ("# TYPE a gauge\n# TYPE a gauge\n# EOF\n", "a second TYPE"), ("# HELP a x\n# HELP a y\n# EOF\n", "a second HELP"),
    ("# UNIT a_s s\n# UNIT a_s s\n# EOF\n", "a second UNIT"), ("# UNIT a s\n# EOF\n", "does not end with _ and the unit"),
    ("# UNIT as s\n# EOF\n", "does not end with _ and the unit"), ("# UNIT a_s s \n# EOF\n", "does not end with _"),
    ("# TYPE a_s info\n# UNIT a_s s\n# EOF\n", "has a unit"), ("# TYPE a_s stateset\n# UNIT a_s s\n# EOF\n", "has a unit"),
    ("# TYPE a gauge\na 1\n# HELP a x\n# EOF\n", "metadata of"), ("# HELP 1a x\n# EOF\n", "no metric name"),
    ("# HELP a.b x\n# EOF\n", "is not a metric name"), (" a 1\n# EOF\n", "no metric name"), ("1a 1\n# EOF\n", "no metric name"),
    ("a.b 1\n# EOF\n", "no space in front"), ("a\n# EOF\n", "no value"), ("a \n# EOF\n", "no value"), ("a  1\n# EOF\n", "no value"),
    ("a 1 \n# EOF\n", "a space without"), ("a 1\t\n# EOF\n", "not a number"), ("a 1\r\n# EOF\n", "not a number"),
    ("a b\n# EOF\n", "not a number"), ("a 1_0\n# EOF\n", "not a number"), ("a 0x1\n# EOF\n", "not a number"),
    ("a 1e\n# EOF\n", "not a number"), ("a .\n# EOF\n", "not a number"), ("a -nan\n# EOF\n", "not a number"),
    ("a 1 b\n# EOF\n", "not a timestamp"), ("a 1 NaN\n# EOF\n", "not a timestamp"), ("a 1 +Inf\n# EOF\n", "not a timestamp"),
    ("a 1 1 1\n# EOF\n", "no exemplar at"), ("a 1 1e999\n# EOF\n", "not a timestamp"),
    ("a{b} 1\n# EOF\n", "no `=`"), ("a{b=c} 1\n# EOF\n", "not in double quotes"), ("a{b='c'} 1\n# EOF\n", "not in double quotes"),
    ("a{b=\"c} 1\n# EOF\n", "has no end"), ("a{b=\"c\"}1\n# EOF\n", "no space"), ("a{b=\"c\",} 1\n# EOF\n", "a comma behind"),
    ("a{,} 1\n# EOF\n", "no label name"), ("a{b=\"c\"d=\"e\"} 1\n# EOF\n", "do not end"), ("a{1=\"c\"} 1\n# EOF\n", "no label name"),
    ("a{b:c=\"d\"} 1\n# EOF\n", "no `=`"), ("a{b=\"c\",b=\"c\"} 1\n# EOF\n", "stands twice"), ("a{__name__=\"b\"} 1\n# EOF\n", "__name__"),
    ("{\"a\"} 1\n# EOF\n", "no metric name"), ("a {b=\"c\"} 1\n# EOF\n", "not a number"),
    ("# TYPE a counter\na 1\n# EOF\n", "belongs to a family before"), ("# TYPE a counter\na_created 1\n# EOF\n", "has no total"),
    ("# TYPE a counter\na_total -1\n# EOF\n", "is negative"), ("# TYPE a counter\na_total NaN\n# EOF\n", "is NaN"),
    ("# TYPE a counter\na_total 1\na_created NaN\n# EOF\n", "is no time"),
    ("# TYPE a counter\n# TYPE a_total gauge\n# EOF\n", "belongs to a family before"),
    ("# TYPE a_created gauge\n# TYPE a counter\n# EOF\n", "belongs to a family before"),
    ("# TYPE a gauge\na 1\nb 1\na 2\n# EOF\n", "belongs to a family before"),
    ("# TYPE a gauge\na{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"1\"} 1\n# EOF\n", "do not stand together"),
    ("# TYPE a gauge\na 1\na 2\n# EOF\n", "stands twice"), ("# TYPE a gauge\na 1 2\na 1 1\n# EOF\n", "go backwards"),
    ("# TYPE a gauge\na 1\na 1 1\n# EOF\n", "have none"), ("# TYPE a gauge\na 1 # {b=\"c\"} 1\n# EOF\n", "has an exemplar"),
    ("# TYPE a counter\na_total 1 # b\n# EOF\n", "no exemplar"), ("# TYPE a counter\na_total 1 # {}1\n# EOF\n", "no value behind the labels"),
    ("# TYPE a counter\na_total 1 # {} 1 \n# EOF\n", "a space without"), ("# TYPE a counter\na_total 1 #{} 1\n# EOF\n", "no exemplar"),
    ("# TYPE a counter\na_total 1# {} 1\n# EOF\n", "not a number"), ("# TYPE a counter\na_total 1 # {} 1 1 1\n# EOF\n", "behind an exemplar"),
    ("# TYPE a counter\na_total 1\na_created 1 # {} 1\n# EOF\n", "has an exemplar"),
    ("# TYPE a histogram\na_bucket 1\n# EOF\n", "without the label le"), ("# TYPE a histogram\na_bucket{le=\"NaN\"} 1\n# EOF\n", "not an upper bound"),
    ("# TYPE a histogram\na_bucket{le=\"+INF\"} 1\n# EOF\n", "not an upper bound"), ("# TYPE a histogram\na_bucket{le=\"1\"} 1\n# EOF\n", "no bucket le=\"+Inf\""),
    ("# TYPE a histogram\na_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\n# EOF\n", "does not stand behind"),
    ("# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n# EOF\n", "counts less"),
    ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1.5\n# EOF\n", "not a whole number"), ("# TYPE a histogram\na_bucket{le=\"+Inf\"} -1\n# EOF\n", "is negative"),
    ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\na_sum 1\n# EOF\n", "is not what its bucket"),
    ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\n# EOF\n", "a sum and no count"), ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n# EOF\n", "a count and no sum"),
    ("# TYPE a histogram\na_bucket{le=\"-1\"} 0\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF\n", "negative bounds and a sum"),
    ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum -1\n# EOF\n", "is negative"), ("# TYPE a histogram\na_sum 1\n# EOF\n", "no bucket"),
    ("# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum -1\n# EOF\n", "a negative sum"),
    ("# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gcount 1\na_gsum NaN\n# EOF\n", "is NaN"),
    ("# TYPE a histogram\na_bucket{b=\"1\",le=\"1\"} 0\na_bucket{b=\"2\",le=\"+Inf\"} 0\na_bucket{b=\"1\",le=\"+Inf\"} 0\n# EOF\n", "do not stand together"),
    ("# TYPE a summary\na 1\n# EOF\n", "no quantile"), ("# TYPE a summary\na{quantile=\"1.1\"} 1\n# EOF\n", "no quantile"),
    ("# TYPE a summary\na{quantile=\"0.1\"} -1\n# EOF\n", "quantile and negative"), ("# TYPE a summary\na_count 1.5\n# EOF\n", "not a whole number"),
    ("# TYPE a info\na_info 2\n# EOF\n", "an info and not 1"), ("# TYPE a stateset\na 1\n# EOF\n", "no label of its own name"),
    ("# TYPE a stateset\na{a=\"b\"} 2\n# EOF\n", "neither 0 nor 1"), ("\u{feff}a 1\n# EOF\n", "byte order mark"),
];

#[test]
fn what_the_format_allows_is_read() {
    for text in GOOD {
        let text = format!("{text}# EOF\n");
        assert!(openmetrics(&text).is_ok(), "{text:?}: {:?}", openmetrics(&text));
    }
    assert!(openmetrics("a 1\n# EOF").is_ok(), "without the last line end");
}

#[test]
fn what_the_format_forbids_is_refused_and_the_mistake_says_what_it_is() {
    for (text, words) in BAD {
        let mistakes = openmetrics(text).err().unwrap_or_else(|| panic!("{text:?} is accepted"));
        assert!(mistakes.iter().any(|m| m.what.contains(words)), "{text:?}: {words:?} is not in {mistakes:?}");
    }
}

#[test]
fn a_mistake_has_its_line_and_all_of_them_are_said() {
    let mistakes = openmetrics("a 1\nb x\n# TYPE c histogram\nc_sum -1\nd 1 y\n# EOF\n").unwrap_err();
    assert_eq!(mistakes.iter().map(|m| m.line).collect::<Vec<_>>(), [2, 4, 5, 6], "{mistakes:?}");
}

#[test]
fn the_labels_of_an_exemplar_have_128_characters_and_not_one_more() {
    let text = |length: usize| format!("# TYPE a counter\na_total 1 # {{b=\"{}\"}} 1\n# EOF\n", "é".repeat(length));
    assert!(openmetrics(&text(127)).is_ok());
    assert!(openmetrics(&text(128)).is_err());
}

#[test]
fn families_have_their_kind_unit_and_samples() {
    let text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds What it is.\n\
                a_seconds_total{b=\"c\\nd\"} 1.5 3 # {e=\"f\"} 2 4\nother 2\n# EOF\n";
    let families = openmetrics(text).unwrap();
    let [family, other] = families.as_slice() else { panic!("two: {families:?}") };
    assert_eq!((family.name, family.kind, family.unit), ("a_seconds", Kind::Counter, Some("seconds")));
    assert_eq!(family.help, Some("What it is."));
    let sample = &family.samples[0];
    assert_eq!((sample.name, sample.label("b"), sample.value), ("a_seconds_total", Some("c\nd"), 1.5));
    assert_eq!((sample.timestamp, sample.exemplar.as_ref().unwrap().timestamp), (Some(3.0), Some(4.0)));
    assert_eq!((other.name, other.kind), ("other", Kind::Unknown));
}

#[test]
fn text_allows_comments_blanks_and_a_comma_behind_the_last_label() {
    let text = "# a comment\n\n#another\n# HELP  a_total  Text. \n#\tTYPE a_total\tcounter\n  a_total { b = \"c\" , } \t 1 -2 \n\
                a_total{b=\"\\\\\\\"\\n\"}2\n# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_bucket{le=\"+Inf\"} 2\nh_sum NaN\nh_count 2\n\
                # TYPE s summary\ns{quantile=\"0.5\"} -1\ns_sum -1\ns_count 1\n# TYPE u untyped\nu nan\n";
    let families = all(text, Format::Text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let kinds: Vec<_> = families.iter().map(|family| (family.name, family.kind, family.samples.len())).collect();
    assert_eq!(
        kinds,
        [("a_total", Kind::Counter, 2), ("h", Kind::Histogram, 4), ("s", Kind::Summary, 3), ("u", Kind::Unknown, 1)]
    );
    assert_eq!(families[0].samples[0].timestamp, Some(-0.002), "milliseconds");
    assert!(all("", Format::Text).unwrap().is_empty());
}

#[test]
fn text_is_refused_where_it_is_wrong() {
    for (text, words) in [
        ("a 1", "no line end"),
        ("a\n", "no value"),
        ("a b\n", "not a number"),
        ("a 1 1.5\n", "not a timestamp"),
        ("a 1 1 1\n", "not a timestamp"),
        ("a-b 1\n", "no metric name"),
        ("a{b=\"\\z\"} 1\n", "no escape"),
        ("a{b=\"c\"} 1\na{b=\"c\"} 1\n", "stands twice"),
        ("a 1\nb 1\na 2\n", "belongs to a family before"),
        ("# TYPE a meh\n", "not a type"),
        ("# TYPE a info\n", "not a type"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "a second TYPE"),
        ("a 1\n# TYPE a gauge\n", "behind its samples"),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", "no bucket le=\"+Inf\""),
        ("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 2\n", "is not what its bucket"),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n", "counts less"),
        ("a 1\r\n", "not a number"),
    ] {
        let mistakes = all(text, Format::Text).err().unwrap_or_else(|| panic!("{text:?} is accepted"));
        assert!(mistakes.iter().any(|m| m.what.contains(words)), "{text:?}: {words:?} is not in {mistakes:?}");
    }
}

#[test]
fn nothing_is_taken_in_without_end() {
    let limits = Limits { lines: 4, line_bytes: 20, samples: 2, labels: 1, label_bytes: 4 };
    for (text, words) in [
        ("a 1\nb 1\n# TYPE c gauge\n# TYPE d gauge\n# EOF\n", "more than 4 lines"),
        ("a 111111111111111111111\n# EOF\n", "more than 20 bytes"),
        ("a 1\nb 1\nc 1\n# EOF\n", "more than 2 samples"),
        ("a{b=\"1\",c=\"2\"} 1\n", "more than 1 labels"),
        ("a{b=\"12345\"} 1\n", "longer than 4 bytes"),
        ("abcde 1\n", "longer than 4 bytes"),
    ] {
        let mistakes = read(text.as_bytes(), Format::OpenMetrics, &limits, &mut |_| ()).unwrap_err();
        assert!(mistakes.iter().any(|m| m.what.contains(words)), "{text:?}: {mistakes:?}");
    }
    let endless = "x y z\n".repeat(100_000);
    assert_eq!(all(&endless, Format::Text).unwrap_err().len(), MISTAKES);
}

#[test]
fn what_is_not_utf_8_is_refused_at_its_line() {
    let mistakes =
        read(b"a 1\nb{c=\"\xff\"} 1\n# EOF\n", Format::OpenMetrics, &Limits::default(), &mut |_| ()).unwrap_err();
    assert_eq!((mistakes.len(), mistakes[0].line), (1, 2));
}

#[test]
fn a_mistake_quotes_no_line_ends_and_nothing_long() {
    let mistakes = openmetrics(&format!("a{{b=\"c\"}}\u{7}{}\n# EOF\n", "x".repeat(10_000))).unwrap_err();
    assert!(mistakes.iter().all(|m| m.what.len() < 300 && !m.what.contains(char::is_control)), "{mistakes:?}");
}

#[test]
fn the_content_type_says_the_format() {
    for (content_type, format) in [
        (Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), Some(Format::OpenMetrics)),
        (Some("text/plain; version=0.0.4"), Some(Format::Text)),
        (Some("Text/Plain"), Some(Format::Text)),
        (None, Some(Format::Text)),
        (Some("text/html"), None),
        (Some("application/json"), None),
    ] {
        assert_eq!(format_of(content_type), format, "{content_type:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [Format::OpenMetrics, Format::Text] {
            let _ = read(&bytes, format, &Limits::default(), &mut |_| ());
        }
    }

    #[test]
    fn no_mixture_of_its_own_parts_makes_it_panic(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "# TYPE a histogram\n", "# TYPE a counter\n", "# TYPE a info\n", "# UNIT a s\n", "# HELP a \\", "a_bucket{le=\"", "1",
                "+Inf", "\"} ", "a_total", "a_info{", "a", "{b=\"c\"", "}", " ", "\n", "# {", " # ", "NaN", "1e", "é", "# EOF\n", "\\",
            ]),
            0..40,
        ),
    ) {
        let text = parts.concat();
        for format in [Format::OpenMetrics, Format::Text] {
            let mut samples = 0;
            let read = read(text.as_bytes(), format, &Limits::default(), &mut |family| samples += family.samples.len());
            // Whatever is read was written: no sample without its line.
            prop_assert!(read.is_err() || samples <= text.lines().count());
        }
    }
}
