#include "rpc/grpc_server.h"

#include <algorithm>
#include <utility>

#include "rpc/call.h"
#include "rpc/services.h"

namespace leadsman::rpc {

struct GrpcServer::Impl final : net::Http2Handler {
  Impl(Predictor& predictor, Options options)
      : context{predictor,
                std::move(options.ready),
                std::move(options.authorize),
                std::move(options.server_version),
                {.wire = options.http2.max_body_bytes, .expanded = options.max_expanded_bytes}} {
    context.models = std::move(options.models);
    context.max_stream_requests = std::max<size_t>(options.max_stream_requests, 1);
    if (options.predict_tensor_content) context.predict_values = TensorValues::kContent;
    if (!context.ready) context.ready = [&predictor] { return predictor.SettledOnce(); };
  }

  void OnHead(net::Http2Stream& stream) override { stream.State<Call>().OnHead(stream, context); }
  void OnBody(net::Http2Stream& stream) override { stream.State<Call>().OnBody(stream); }
  void OnClose(net::Http2Stream& stream, bool /*complete*/) override {
    stream.State<Call>().OnClose(stream);
  }
  void OnAlarm(net::Http2Stream& stream) override { stream.State<Call>().OnAlarm(stream); }
  void OnRefuse(net::Http2Stream& stream, const Status& why) override {
    if (stream.path().empty()) return Call::Refuse(stream, why);
    stream.State<Call>().End(stream, why);
  }

  void BeginDrain(std::chrono::milliseconds grace) {
    // Before the connections are cut, so that the end of a stream has words and none of its answers is half sent.
    const SteadyTime by = std::chrono::steady_clock::now() + grace / 2;
    const int64_t by_ns = by.time_since_epoch().count();
    if (!context.draining || by < context.StreamsEndBy()) context.streams_end_by_ns = by_ns;
    context.draining = true;
  }

  ServiceContext context;
  std::unique_ptr<net::Http2Server> server;  ///< last: its threads use everything above
};

GrpcServer::GrpcServer() = default;
GrpcServer::~GrpcServer() = default;

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(Predictor& predictor, Options options) {
  net::Http2ServerOptions http2 = options.http2;
  // A message and its prefix: what is too large is refused by its claimed length, in words, before it has been read.
  http2.max_body_bytes += kPrefixSize;
  std::unique_ptr<GrpcServer> server(new GrpcServer());
  server->impl_ = std::make_unique<Impl>(predictor, std::move(options));
  ASSIGN_OR_RETURN(server->impl_->server,
                   net::Http2Server::Start(std::move(http2), *server->impl_));
  return server;
}

GrpcServer::StreamStats GrpcServer::stream_stats() const {
  return {.requests = impl_->context.stream_requests.load(),
          .waits = impl_->context.stream_waits.load()};
}
uint16_t GrpcServer::port() const { return impl_->server->port(); }
net::HttpServerStats GrpcServer::stats() const { return impl_->server->stats(); }
void GrpcServer::BeginDrain(std::chrono::milliseconds grace) {
  impl_->BeginDrain(grace);
  impl_->server->BeginDrain(grace);
}
bool GrpcServer::AwaitDrained(std::chrono::milliseconds wait) {
  return impl_->server->AwaitDrained(wait);
}
void GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  impl_->BeginDrain(grace);
  impl_->server->Shutdown(grace);
}

}  // namespace leadsman::rpc
