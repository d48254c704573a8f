//! A FAKE Temporal frontend, for what a real one will not do on request: refuse, throttle, hang, page without end, drop
//! a field, be old. Everything that a real server does is tested on a real server.
//!
//! It is strict: a call that the script does not expect is answered with an error and fails the test at the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking, and its helpers are public to it alone"
)]

use std::convert::Infallible;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::BufMut;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use temporalio_protos::temporal::api::namespace::v1::{NamespaceInfo, namespace_info::Capabilities};
use temporalio_protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse, DescribeNamespaceRequest,
    DescribeNamespaceResponse, DescribeTaskQueueRequest, DescribeTaskQueueResponse, DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse, DescribeWorkerDeploymentVersionRequest, DescribeWorkerDeploymentVersionResponse,
    DescribeWorkerRequest, DescribeWorkerResponse, GetSystemInfoRequest, GetSystemInfoResponse,
    ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse, ListWorkerDeploymentsRequest,
    ListWorkerDeploymentsResponse, ListWorkersRequest, ListWorkersResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::codegen::http::{HeaderMap, Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{BoxFuture, Context, Poll, Service};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tonic_prost::prost::Message;

/// What the script says to one call.
pub enum Reply<A> {
    Say(A),
    /// These bytes as the message, whatever they are.
    Bytes(Vec<u8>),
    Fail(Status),
    Hang,
}

type Handler<Q, A> = Arc<dyn Fn(Q) -> Reply<A> + Send + Sync>;

/// What the fake answers; a method without a line here is unexpected.
#[derive(Clone, Default)]
pub struct Script {
    namespace: Option<Handler<DescribeNamespaceRequest, DescribeNamespaceResponse>>,
    system: Option<Handler<GetSystemInfoRequest, GetSystemInfoResponse>>,
    list: Option<Handler<ListWorkersRequest, ListWorkersResponse>>,
    worker: Option<Handler<DescribeWorkerRequest, DescribeWorkerResponse>>,
    queue: Option<Handler<DescribeTaskQueueRequest, DescribeTaskQueueResponse>>,
    deployments: Option<Handler<ListWorkerDeploymentsRequest, ListWorkerDeploymentsResponse>>,
    deployment: Option<Handler<DescribeWorkerDeploymentRequest, DescribeWorkerDeploymentResponse>>,
    version: Option<Handler<DescribeWorkerDeploymentVersionRequest, DescribeWorkerDeploymentVersionResponse>>,
    partitions: Option<Handler<ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse>>,
    count: Option<Handler<CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse>>,
}

impl Script {
    /// A server of today whose namespace takes heartbeats, with nothing else scripted.
    pub fn with_heartbeats() -> Self {
        Self::default()
            .namespace(|_| Reply::Say(namespace(Capabilities { worker_heartbeats: true, ..<_>::default() })))
            .system(|_| Reply::Say(GetSystemInfoResponse { server_version: "1.32.0".into(), ..<_>::default() }))
    }

    pub fn namespace(
        mut self,
        say: impl Fn(DescribeNamespaceRequest) -> Reply<DescribeNamespaceResponse> + Send + Sync + 'static,
    ) -> Self {
        self.namespace = Some(Arc::new(say));
        self
    }

    pub fn system(
        mut self,
        say: impl Fn(GetSystemInfoRequest) -> Reply<GetSystemInfoResponse> + Send + Sync + 'static,
    ) -> Self {
        self.system = Some(Arc::new(say));
        self
    }

    pub fn list(
        mut self,
        say: impl Fn(ListWorkersRequest) -> Reply<ListWorkersResponse> + Send + Sync + 'static,
    ) -> Self {
        self.list = Some(Arc::new(say));
        self
    }

    pub fn worker(
        mut self,
        say: impl Fn(DescribeWorkerRequest) -> Reply<DescribeWorkerResponse> + Send + Sync + 'static,
    ) -> Self {
        self.worker = Some(Arc::new(say));
        self
    }

    pub fn queue(
        mut self,
        say: impl Fn(DescribeTaskQueueRequest) -> Reply<DescribeTaskQueueResponse> + Send + Sync + 'static,
    ) -> Self {
        self.queue = Some(Arc::new(say));
        self
    }

    pub fn deployments(
        mut self,
        say: impl Fn(ListWorkerDeploymentsRequest) -> Reply<ListWorkerDeploymentsResponse> + Send + Sync + 'static,
    ) -> Self {
        self.deployments = Some(Arc::new(say));
        self
    }

    pub fn deployment(
        mut self,
        say: impl Fn(DescribeWorkerDeploymentRequest) -> Reply<DescribeWorkerDeploymentResponse> + Send + Sync + 'static,
    ) -> Self {
        self.deployment = Some(Arc::new(say));
        self
    }

    pub fn version(
        mut self,
        say: impl Fn(DescribeWorkerDeploymentVersionRequest) -> Reply<DescribeWorkerDeploymentVersionResponse>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.version = Some(Arc::new(say));
        self
    }

    pub fn partitions(
        mut self,
        say: impl Fn(ListTaskQueuePartitionsRequest) -> Reply<ListTaskQueuePartitionsResponse> + Send + Sync + 'static,
    ) -> Self {
        self.partitions = Some(Arc::new(say));
        self
    }

    pub fn count(
        mut self,
        say: impl Fn(CountWorkflowExecutionsRequest) -> Reply<CountWorkflowExecutionsResponse> + Send + Sync + 'static,
    ) -> Self {
        self.count = Some(Arc::new(say));
        self
    }
}

/// The answer to DescribeNamespace with these capabilities.
pub fn namespace(capabilities: Capabilities) -> DescribeNamespaceResponse {
    DescribeNamespaceResponse {
        namespace_info: Some(NamespaceInfo { capabilities: Some(capabilities), ..<_>::default() }),
        ..<_>::default()
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub headers: HeaderMap,
}

/// The running fake; stops when it is dropped.
pub struct FakeTemporal {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Script,
    calls: Mutex<Vec<Call>>,
    unexpected: Mutex<Vec<String>>,
    #[expect(clippy::type_complexity, reason = "one closure")]
    admit: Option<Box<dyn Fn(&HeaderMap) -> Result<(), Status> + Send + Sync>>,
}

impl FakeTemporal {
    pub async fn start(script: Script) -> Self {
        Self::listen(script, None, "127.0.0.1:0".parse().unwrap()).await
    }

    /// Every call has to pass `admit` first.
    pub async fn guarded(
        script: Script,
        admit: impl Fn(&HeaderMap) -> Result<(), Status> + Send + Sync + 'static,
    ) -> Self {
        Self::listen_with(script, Some(Box::new(admit)), None, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn listen(script: Script, tls: Option<tokio_rustls::TlsAcceptor>, address: SocketAddr) -> Self {
        Self::listen_with(script, None, tls, address).await
    }

    #[expect(clippy::type_complexity, reason = "one closure")]
    async fn listen_with(
        script: Script,
        admit: Option<Box<dyn Fn(&HeaderMap) -> Result<(), Status> + Send + Sync>>,
        tls: Option<tokio_rustls::TlsAcceptor>,
        address: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { script, calls: Mutex::default(), unexpected: Mutex::default(), admit });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Connections end with the fake: a set is aborted when it is dropped.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                        None => serve(stream, shared).await,
                    }
                });
            }
        });
        Self { address, shared, task }
    }

    /// How often this method was called.
    pub fn count(&self, method: &str) -> usize {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.method == method).count()
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

impl Drop for FakeTemporal {
    fn drop(&mut self) {
        self.task.abort();
        if !std::thread::panicking() {
            let unexpected = self.shared.unexpected.lock().unwrap();
            assert!(unexpected.is_empty(), "calls that nobody expected: {unexpected:?}");
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(route(request, &shared).await) }
    });
    // Ends with an error when the client goes; nothing to say about that.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn route(request: HttpRequest<Incoming>, shared: &Shared) -> HttpResponse<tonic::body::Body> {
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix("/temporal.api.workflowservice.v1.WorkflowService/").unwrap_or(&path).to_owned();
    shared.calls.lock().unwrap().push(Call { method: method.clone(), headers: request.headers().clone() });
    if let Some(admit) = &shared.admit
        && let Err(refused) = admit(request.headers())
    {
        return refused.into_http();
    }
    let script = &shared.script;
    let answered = match method.as_str() {
        "DescribeNamespace" => unary(request, script.namespace.as_ref()).await,
        "GetSystemInfo" => unary(request, script.system.as_ref()).await,
        "ListWorkers" => unary(request, script.list.as_ref()).await,
        "DescribeWorker" => unary(request, script.worker.as_ref()).await,
        "DescribeTaskQueue" => unary(request, script.queue.as_ref()).await,
        // Asked beside the looks: a script about something else has no deployments, and one partition.
        "ListWorkerDeployments" => unary(request, script.deployments.as_ref().or(Some(&nothing()))).await,
        "ListTaskQueuePartitions" => unary(request, script.partitions.as_ref().or(Some(&nothing()))).await,
        "DescribeWorkerDeployment" => unary(request, script.deployment.as_ref()).await,
        "CountWorkflowExecutions" => unary(request, script.count.as_ref()).await,
        "DescribeWorkerDeploymentVersion" => unary(request, script.version.as_ref()).await,
        _ => None,
    };
    answered.unwrap_or_else(|| {
        shared.unexpected.lock().unwrap().push(method.clone());
        Status::internal(format!("the fake does not expect {method}")).into_http()
    })
}

fn nothing<Q: 'static, A: Default + 'static>() -> Handler<Q, A> {
    Arc::new(|_| Reply::Say(A::default()))
}

async fn unary<Q, A>(
    request: HttpRequest<Incoming>,
    handler: Option<&Handler<Q, A>>,
) -> Option<HttpResponse<tonic::body::Body>>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    let handler = Arc::clone(handler?);
    let mut grpc = tonic::server::Grpc::new(Answers(PhantomData::<Q>));
    Some(grpc.unary(Unary(handler), request).await)
}

/// Reads requests as messages, and sends answers as the bytes that they are.
struct Answers<Q>(PhantomData<Q>);

struct AsTheyAre;

impl<Q: Message + Default + 'static> Codec for Answers<Q> {
    type Encode = Vec<u8>;
    type Decode = Q;
    type Encoder = AsTheyAre;
    type Decoder = <ProstCodec<Q, Q> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        AsTheyAre
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Q, Q>::default().decoder()
    }
}

impl Encoder for AsTheyAre {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

struct Unary<Q, A>(Handler<Q, A>);

impl<Q, A> Service<Request<Q>> for Unary<Q, A>
where
    Q: Send + 'static,
    A: Message + 'static,
{
    type Response = Response<Vec<u8>>;
    type Error = Status;
    type Future = BoxFuture<Response<Vec<u8>>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let reply = (self.0)(request.into_inner());
        Box::pin(async move {
            match reply {
                Reply::Say(answer) => Ok(Response::new(answer.encode_to_vec())),
                Reply::Bytes(bytes) => Ok(Response::new(bytes)),
                Reply::Fail(status) => Err(status),
                Reply::Hang => std::future::pending().await,
            }
        })
    }
}
