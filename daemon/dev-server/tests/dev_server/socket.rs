//! The socket.

use std::time::Duration;

use adminengine_dev::{Fault, Latency, Notification, SocketEnd};
use serde_json::{Value, json};

use crate::support::socket::{Frame, Socket};
use crate::support::{Bench, DEADLINE, eventually, new_id, read, user};

#[tokio::test]
async fn the_engine_pings_every_25_seconds_and_waits_20() {
    let bench = Bench::start();
    let socket = Socket::raw(&bench).await.unwrap();
    assert_eq!((&socket.open["pingInterval"], &socket.open["pingTimeout"]), (&json!(25_000), &json!(20_000)));
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_dropped() {
    let bench = Bench::start_with(|options| {
        options.ping_interval = Duration::from_millis(50);
        options.ping_timeout = Duration::from_millis(50);
    });
    let mut socket = Socket::connect(&bench).await;
    assert_eq!(socket.frame_unanswered().await, Frame::Text("2".into()));
    while let Frame::Text(_) = socket.frame_unanswered().await {}
    eventually("the seat is gone", || bench.world.sockets().is_empty()).await;
}

#[tokio::test]
async fn authenticated_proves_nothing() {
    let bench = Bench::start();
    for payload in
        [json!({ "token": "nonsense", "tenantId": bench.tenant }), json!({ "token": bench.token }), json!({}), json!("")]
    {
        let mut socket = Socket::connect(&bench).await;
        socket.emit("authenticate", &payload).await;
        assert_eq!(socket.event().await, ("authenticated".into(), json!({ "success": true })), "{payload}");
    }
}

#[tokio::test]
async fn only_an_absent_or_null_payload_is_refused() {
    let bench = Bench::start();
    let refusal = ("authentication_error".to_owned(), json!({ "message": "Invalid token" }));
    let mut socket = Socket::connect(&bench).await;
    socket.emit_bare("authenticate").await;
    assert_eq!(socket.event().await, refusal);
    socket.emit("authenticate", &Value::Null).await;
    assert_eq!(socket.event().await, refusal);
}

#[tokio::test]
async fn a_tenant_id_in_the_wrong_case_is_accepted_and_hears_nothing() {
    let bench = Bench::start();
    let mut socket = Socket::connect(&bench).await;
    let tenant = bench.tenant.to_uppercase();
    socket.emit("authenticate", &json!({ "token": bench.token, "tenantId": tenant })).await;
    assert_eq!(socket.event().await.0, "authenticated");
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    assert!(socket.drain().await.is_empty());
}

#[tokio::test]
async fn ping_is_answered_unauthenticated_too() {
    let bench = Bench::start();
    let mut socket = Socket::connect(&bench).await;
    socket.emit_bare("ping").await;
    let (event, argument) = socket.event().await;
    assert_eq!(event, "pong");
    assert!(argument["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn status_updates_are_relayed_as_sent_to_the_other_sockets_of_the_tenant_only() {
    let bench = Bench::start();
    let other_tenant = bench.world.add_customer("other@example.com", "pw");
    let (mut sender, mut hearer) = (Socket::joined(&bench).await, Socket::joined(&bench).await);
    let mut stranger = Socket::connect(&bench).await;
    stranger.emit("authenticate", &json!({ "tenantId": other_tenant })).await;
    stranger.event().await;
    let mut unknown = Socket::connect(&bench).await;

    for update in [json!({ "status": "synced", "entityType": "end_user" }), Value::Null, json!(7), json!([1, 2])] {
        sender.emit("sync_status_update", &update).await;
        assert_eq!(hearer.event().await, ("sync_status_update".into(), update));
    }
    sender.emit_bare("sync_status_update").await;
    assert_eq!(hearer.event().await, ("sync_status_update".into(), Value::Null));
    unknown.emit("sync_status_update", &json!("nobody hears it")).await;
    for socket in [&mut unknown, &mut sender, &mut stranger, &mut hearer] {
        assert!(socket.drain().await.is_empty());
    }
    let relayed = bench.world.relayed();
    assert_eq!(relayed.len(), 6);
    assert_eq!(relayed[0].tenant.as_ref(), Some(&bench.tenant));
    assert_eq!((&relayed[5].tenant, &relayed[5].update), (&None, &json!("nobody hears it")));
}

#[tokio::test]
async fn the_auth_payload_of_the_connect_packet_is_not_checked() {
    let bench = Bench::start();
    for connect in ["40", "40{\"token\":\"nonsense\"}"] {
        let mut socket = Socket::raw(&bench).await.unwrap();
        socket.send_text(connect).await;
        let Frame::Text(ack) = socket.frame().await else { panic!("no ack") };
        assert!(ack.starts_with("40{"), "{ack}");
    }
}

#[tokio::test]
async fn an_unknown_namespace_is_refused() {
    let bench = Bench::start();
    let mut socket = Socket::raw(&bench).await.unwrap();
    socket.send_text("40/elsewhere,").await;
    assert_eq!(socket.frame().await, Frame::Text("44/elsewhere,{\"message\":\"Invalid namespace\"}".into()));
}

#[tokio::test]
async fn protocol_3_is_refused_with_400() {
    let bench = Bench::start();
    for transport in ["polling", "websocket"] {
        assert_eq!(bench.get(&format!("/socket.io/?EIO=3&transport={transport}")).await.status, 400, "{transport}");
    }
}

#[tokio::test]
async fn polling_works_as_well() {
    let bench = Bench::start();
    let url = bench.server.url() + "/socket.io/?EIO=4&transport=polling";
    let open = read(bench.http.get(&url).send().await.unwrap()).await.unwrap();
    let open: Value = serde_json::from_str(&open.text[1..]).unwrap();
    assert_eq!(open["upgrades"], json!(["websocket"]));
    let url = format!("{url}&sid={}", open["sid"].as_str().unwrap());
    for packet in ["40".to_owned(), format!("42{}", json!(["authenticate", { "tenantId": bench.tenant }]))] {
        let answer = read(bench.http.post(&url).body(packet.clone()).send().await.unwrap()).await.unwrap();
        assert_eq!(answer.status, 200, "{packet}: {}", answer.text);
    }
    let mut heard = String::new();
    while !heard.contains("42[\"authenticated\",{\"success\":true}]") {
        heard += &bench.http.get(&url).send().await.unwrap().text().await.unwrap();
    }
    assert!(heard.contains("40{\"sid\""));
}

#[tokio::test]
async fn membership_is_lost_on_disconnect_and_nothing_is_replayed() {
    let bench = Bench::start();
    drop(Socket::joined(&bench).await);
    eventually("the seat is gone", || bench.world.sockets().is_empty()).await;
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    let mut socket = Socket::connect(&bench).await;
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    assert!(socket.drain().await.is_empty());
}

#[tokio::test]
async fn a_push_of_n_rows_sends_n_plus_1_notifications_to_every_socket_the_senders_included() {
    let bench = Bench::start();
    let (mut one, mut two) = (Socket::joined(&bench).await, Socket::joined(&bench).await);
    let (old, new) = (new_id(), new_id());
    bench.world.device(&bench.tenant).quietly().insert("end_user", &user(&old)).unwrap();
    let answer = bench.push(json!({ "end_user": [user(&new), user(&old)] })).await;
    for socket in [&mut one, &mut two] {
        let (inserted, existed, batch) = (socket.notification().await, socket.notification().await, socket.notification().await);
        assert_eq!((&inserted["type"], &inserted["entityType"]), (&json!("data_available"), &json!("end_user")));
        assert_eq!(inserted["entityId"], json!(new));
        assert!(inserted["message"].is_string() && inserted["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!((&existed["type"], &existed["entityId"]), (&json!("sync_complete"), &json!(old)));
        assert_eq!(existed["data"], answer.body["data"][1], "the full row");
        assert_eq!((&batch["type"], &batch["entityType"]), (&json!("sync_complete"), &json!("batch")));
        assert_eq!(batch["data"], json!({ "count": 2, "entityTypes": ["end_user"] }));
        assert!(socket.drain().await.is_empty());
    }
}

#[tokio::test]
async fn most_notifications_come_before_the_push_is_answered() {
    let bench = Bench::start();
    bench.world.adjust(|settings| settings.latency = Latency { row: Duration::from_millis(5), ..Latency::default() });
    let mut socket = Socket::joined(&bench).await;
    let rows: Vec<Value> = (0..20).map(|_| user(&new_id())).collect();
    let changes = json!({ "end_user": rows });
    let mut push = Box::pin(bench.push(changes));
    let mut early = 0;
    let answer = loop {
        tokio::select! {
            biased;
            _ = socket.notification() => early += 1,
            answer = &mut push => break answer,
        }
    };
    assert_eq!(answer.status, 200);
    assert!(early > 10, "{early} of 21 came early");
}

#[tokio::test]
async fn a_large_push_loses_no_notification() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    let rows: Vec<Value> = (0..500).map(|_| user(&new_id())).collect();
    bench.push(json!({ "end_user": rows })).await;
    for _ in 0..501 {
        socket.notification().await;
    }
}

#[tokio::test]
async fn a_failed_push_sends_sync_error_to_every_socket() {
    let bench = Bench::start();
    let mut bystander = Socket::joined(&bench).await;
    bench.push(json!({ "end_user": [{ "id": new_id() }] })).await;
    let error = bystander.notification().await;
    assert_eq!((&error["type"], &error["entityType"]), (&json!("sync_error"), &json!("batch")));
    assert!(bystander.drain().await.is_empty());
}

#[tokio::test]
async fn other_tenants_hear_nothing_of_a_push() {
    let bench = Bench::start();
    let mut stranger = Socket::connect(&bench).await;
    stranger.emit("authenticate", &json!({ "tenantId": new_id() })).await;
    stranger.event().await;
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    assert!(stranger.drain().await.is_empty());
}

#[tokio::test]
async fn the_server_can_end_sockets_in_every_way_it_has() {
    let bench = Bench::start();
    for (how, expected) in
        [(SocketEnd::Disconnect, Frame::Text("41".into())), (SocketEnd::CloseFrame, Frame::Close), (SocketEnd::Cut, Frame::End)]
    {
        let mut socket = Socket::joined(&bench).await;
        assert_eq!(bench.world.end_sockets(how, Some(&bench.tenant)), 1, "{how:?}");
        assert_eq!(socket.frame().await, expected, "{how:?}");
        eventually("the seat is gone", || bench.world.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn a_malformed_frame_leaves_the_socket_open() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    bench.world.end_sockets(SocketEnd::Malformed, None);
    assert_eq!(socket.frame().await, Frame::Text("49".into()));
    assert!(socket.drain().await.is_empty());
}

#[tokio::test]
async fn a_stalled_socket_stays_open_and_silent_while_http_works() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    bench.world.end_sockets(SocketEnd::Stall, None);
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    socket.emit("sync_status_update", &json!("unread")).await;
    // An engine ping may have been under way before.
    while let Ok(frame) = tokio::time::timeout(Duration::from_millis(200), socket.frame_unanswered()).await {
        assert_eq!(frame, Frame::Text("2".into()));
    }
    assert!(bench.world.relayed().is_empty());
}

#[tokio::test]
async fn tests_can_send_any_notification_and_storms() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    let conflict = Notification { kind: "conflict_detected".into(), ..Notification::inserted("end_user", "x") };
    bench.world.notify(&bench.tenant, &conflict);
    assert_eq!(socket.notification().await["type"], "conflict_detected");
    bench.world.broadcast(&bench.tenant, "sync_notification", &json!("not an object"));
    assert_eq!(socket.notification().await, json!("not an object"));
    bench.world.storm(&bench.tenant, "end_user", 5_000);
    for _ in 0..5_000 {
        socket.notification().await;
    }
}

#[tokio::test]
async fn edits_of_another_device_notify_unless_they_are_quiet() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    let device = bench.world.device(&bench.tenant);
    let id = new_id();
    device.insert("end_user", &user(&id)).unwrap();
    assert_eq!(socket.notification().await["type"], "data_available");
    device.update("end_user", &id, &json!({ "name": "Changed" })).unwrap();
    let changed = socket.notification().await;
    assert_eq!((&changed["type"], &changed["data"]["name"]), (&json!("sync_complete"), &json!("Changed")));
    device.clone().quietly().update("end_user", &id, &json!({ "name": "Again" })).unwrap();
    device.erase("end_user", &id);
    assert!(socket.drain().await.is_empty());
}

#[tokio::test]
async fn socket_faults_strike_at_authenticate() {
    let bench = Bench::start();
    let payload = json!({ "token": bench.token, "tenantId": bench.tenant });

    bench.world.faults().next(1, Fault::IgnoreAuthenticate);
    let mut socket = Socket::connect(&bench).await;
    socket.emit("authenticate", &payload).await;
    assert!(socket.drain().await.is_empty());

    bench.world.faults().next(1, Fault::RefuseAuthenticate);
    socket.emit("authenticate", &payload).await;
    assert_eq!(socket.event().await.0, "authentication_error");

    bench.world.faults().next(1, Fault::DeafMembership);
    socket.emit("authenticate", &payload).await;
    assert_eq!(socket.event().await.0, "authenticated");
    assert!(bench.world.sockets()[0].deaf);
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    assert!(socket.drain().await.is_empty());

    bench.world.faults().next(1, Fault::RefuseUpgrade { status: 403 });
    assert!(Socket::raw(&bench).await.is_err());
    assert!(Socket::raw(&bench).await.is_ok());
    assert!(bench.world.faults().active().is_empty());
}

#[tokio::test]
async fn the_client_library_of_the_daemon_gets_through() {
    use rust_socketio::asynchronous::ClientBuilder;
    use rust_socketio::{Event, Payload, TransportType};
    let bench = Bench::start();
    let (connected, mut is_connected) = tokio::sync::mpsc::channel(4);
    let (heard, mut events) = tokio::sync::mpsc::channel(64);
    let client = ClientBuilder::new(bench.server.url())
        .transport_type(TransportType::Websocket)
        .reconnect(false)
        .on(Event::Connect, move |_, _| {
            connected.try_send(()).ok();
            Box::pin(async {})
        })
        .on_any(move |event, payload, _| {
            if let (Event::Custom(name), Payload::Text(arguments)) = (event, payload) {
                heard.try_send((name, arguments)).ok();
            }
            Box::pin(async {})
        })
        .connect();
    let client = tokio::time::timeout(DEADLINE, client).await.unwrap().unwrap();
    tokio::time::timeout(DEADLINE, is_connected.recv()).await.unwrap().unwrap();
    client.emit("authenticate", json!({ "token": bench.token, "tenantId": bench.tenant })).await.unwrap();
    let mut next = async || tokio::time::timeout(DEADLINE, events.recv()).await.unwrap().unwrap();
    assert_eq!(next().await, ("authenticated".into(), vec![json!({ "success": true })]));
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    let (event, arguments) = next().await;
    assert_eq!((event.as_str(), &arguments[0]["type"]), ("sync_notification", &json!("data_available")));
}
