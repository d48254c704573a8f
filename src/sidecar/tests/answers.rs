//! What is answered.

use super::*;

#[test]
fn since_is_when_a_check_came_to_what_it_says() {
    let mut judge = judge();
    watch_process(&mut judge, 0, 98, ALIVE);
    let since = |judgement: &Judgement| judgement.checks.first().unwrap().since;
    assert_eq!(since(&now(&mut judge, 10)), wall(10));
    assert_eq!(since(&now(&mut judge, 98)), wall(10));
    watch_process(&mut judge, 100, 100, ProcessSeen::Gone);
    assert_eq!(since(&now(&mut judge, 101)), wall(101));
}

#[test]
fn the_answers_are_those_that_every_reader_of_health_endpoints_understands() {
    let card = Card { worker_id: Some("orders-1".into()), task_queue: Some("orders".into()) };
    let read = |question: Question, judgement: &Judgement| {
        let (code, body) = render(question, judgement, &card);
        (code, health::read(code, Some("application/json"), &body, &health::Fields::default()).says)
    };
    let mut judge = with_temporal();
    watch_process(&mut judge, 0, 100, ALIVE);
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    let good = now(&mut judge, 100);
    for question in [Question::Alive, Question::Ready] {
        let (code, says) = read(question, &good);
        assert_eq!((code, says.overall, says.contradiction), (200, Some(Said::Up), false), "{question:?}: {says:?}");
        assert_eq!((says.unreadable, says.failing.len()), (None, 0), "{says:?}");
    }
    watch_temporal(&mut judge, 105, 115, |_| Err(Failure::Refused));
    let away = now(&mut judge, 115);
    assert_eq!(read(Question::Alive, &away).1.overall, Some(Said::Up));
    let (code, says) = read(Question::Ready, &away);
    assert_eq!((code, says.overall, says.contradiction), (503, Some(Said::Down), false));
    watch_process(&mut judge, 102, 102, ProcessSeen::Gone);
    let gone = now(&mut judge, 115);
    let (code, says) = read(Question::Alive, &gone);
    assert_eq!((code, says.alive, says.contradiction), (503, Some(false), false));
    judge.process = None;
    judge.told_to_leave(at(115));
    let leaving = now(&mut judge, 115);
    let (code, says) = read(Question::Alive, &leaving);
    assert_eq!((code, says.goodbye, says.contradiction), (200, true, false), "{says:?}");
}

#[test]
fn an_answer_is_small_and_names_who_it_is_about() {
    let mut judge = with_temporal();
    watch_process(&mut judge, 0, 100, ALIVE);
    watch_temporal(&mut judge, 0, 100, beating(|_| activity()));
    let card = Card { worker_id: Some("orders-1".into()), task_queue: Some("orders".into()) };
    let (_, body) = render(Question::Ready, &now(&mut judge, 100), &card);
    assert!(body.len() < 1024, "{}", body.len());
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], "ready");
    assert_eq!(body["worker"], "running");
    assert_eq!(body["worker_id"], "orders-1");
    assert_eq!(body["task_queue"], "orders");
    let names: Vec<_> = body["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["process", "temporal", "registered", "polling"]);
    assert_eq!(body["checks"][0]["reason"], Cause::Of(Reason::Ok).word());
}
