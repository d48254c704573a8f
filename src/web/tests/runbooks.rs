//! `/runbooks/`, and the way to it from the page.

use super::*;

#[tokio::test]
async fn a_runbook_is_a_page_with_the_labels_of_the_alert_and_runs_nothing() {
    let app = app(sample::night());
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E'%22%60%24(id)%0A%60%60%60";
    let path = format!("/runbooks/WorkerDown?fleet=orders&worker={evil}");
    let (status, headers, body) = send(&app, Method::GET, &path, &[("host", "localhost:10860")]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert!(!body.contains("<script") && body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(body.contains("FLEET='orders'") && body.contains("worker_up{fleet=\"orders\""));
    // Other runbooks are opened with the same labels.
    assert!(body.contains("href=\"WorkerStuck?fleet=orders&amp;worker=%3Cscript"));
    assert!(!body.contains("grafana.example") && !body.contains("worker-exporter.example"));
}

#[tokio::test]
async fn a_runbook_is_markdown_for_who_asks_for_it_with_the_address_that_was_asked() {
    let house = house(sample::night(), |web| web.route_prefix = "/watch".to_owned());
    let app = router(house.site);
    for (accept, kind) in
        [("text/markdown", "text/markdown; charset=utf-8"), ("text/plain", "text/plain; charset=utf-8")]
    {
        let asked = [("accept", accept), ("host", "mon.example.org:10860")];
        let (_, headers, body) = send(&app, Method::GET, "/watch/runbooks/WorkerDown?fleet=it%27s", &asked).await;
        assert_eq!(headers["content-type"], kind);
        assert_eq!(headers["vary"], "Accept");
        assert!(body.starts_with("# WorkerDown\n"));
        assert!(
            body.contains("\nEXPORTER=http://mon.example.org:10860/watch\nFLEET='it'\\''s'\nWORKER=''\n"),
            "{body}"
        );
    }
    let asked = [("accept", "text/markdown"), ("host", "a'; rm -rf / #")];
    let (_, _, body) = send(&app, Method::GET, "/watch/runbooks/WorkerDown", &asked).await;
    assert!(body.contains("\nEXPORTER=https://worker-exporter.example\n"));
}

#[tokio::test]
async fn the_external_address_counts_over_the_one_that_was_asked() {
    let house = house(sample::night(), |web| web.external_url = Some("https://mon.example.org/w".parse().unwrap()));
    let asked = [("accept", "text/plain"), ("host", "10.0.0.1:10860")];
    let (_, _, body) = send(&router(house.site), Method::GET, "/runbooks/WorkerDown", &asked).await;
    assert!(body.contains("\nEXPORTER=https://mon.example.org/w\n"));
}

#[tokio::test]
async fn the_index_lists_every_runbook_and_each_of_them_is_served() {
    let app = app(sample::night());
    let (_, _, index) = get(&app, "/runbooks/").await;
    let mut runbooks = 0;
    for link in index.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let is_runbook = link.strip_prefix("/runbooks/").is_some_and(|name| !name.is_empty());
        if is_runbook {
            runbooks += 1;
            let (status, _, page) = get(&app, link).await;
            assert_eq!(status, StatusCode::OK, "{link}");
            assert!(page.contains("<h2 id=\"decision-tree\">"), "{link}");
        }
    }
    assert!(runbooks > 40);
}

#[tokio::test]
async fn a_label_that_no_alert_has_and_a_runbook_that_is_none_are_told() {
    let app = app(sample::night());
    let unknown = problem(&app, Method::GET, "/runbooks/WorkerDown?path=x", 400).await;
    assert!(unknown["detail"].as_str().unwrap().contains("the labels are fleet, worker"));
    problem(&app, Method::GET, &format!("/runbooks/WorkerDown?fleet={}", "x".repeat(1001)), 400).await;
    problem(&app, Method::GET, "/runbooks/Nothing", 404).await;
    problem(&app, Method::GET, "/runbooks/..%2F..%2Fetc%2Fpasswd", 404).await;
    problem(&app, Method::GET, "/runbooks/README", 404).await;
}

#[tokio::test]
async fn a_worker_that_needs_somebody_has_the_way_to_what_to_do() {
    let app = app(sample::night());
    let (_, _, page) = get(&app, "/").await;
    let links: Vec<&str> =
        page.split("class=\"todo\" href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.iter().any(|link| link.starts_with("/runbooks/WorkerDown?fleet=")), "{links:?}");
    for link in links {
        let (status, _, body) = get(&app, &link.replace("&#38;", "&").replace("&amp;", "&")).await;
        assert_eq!(status, StatusCode::OK, "{link}: {body}");
    }
}
