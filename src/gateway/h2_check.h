#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "gateway/h2_session.h"
#include "net/stream_socket.h"

// Internal to the gateway.

namespace leadsman::gateway {

/// One active check over HTTP/2: a GET, or a call of gRPC with an empty message. Confined to one thread.
class H2Check final : public H2Session::Owner, public H2Stream::User {
 public:
  explicit H2Check(net::StreamSocket& socket) : socket_(socket) {}

  /// False when there is no memory for it.
  bool Begin(const std::string& path, const std::string& host, bool grpc, bool secure);
  /// Goes on as far as it can. Nothing while it is under way; then what is wrong ("was answered 503"), or empty.
  std::optional<std::string> Run();

  H2Stream::User* OnStream(H2Stream& /*stream*/) override { return nullptr; }
  void OnOutput() override {}
  void OnHead(H2Stream& stream, H2Fields fields, bool end) override;
  void OnHeadTooLarge(H2Stream& stream) override;
  void OnData(H2Stream& stream, std::string_view bytes) override;
  void OnTrailers(H2Stream& stream, H2Fields fields) override;
  void OnEnd(H2Stream& /*stream*/) override { ended_ = true; }
  void OnTaken(H2Stream& /*stream*/, size_t /*bytes*/) override {}
  void OnClosed(H2Stream& stream, H2Error code) override;

 private:
  void Flush();
  std::string Verdict() const;

  net::StreamSocket& socket_;
  std::unique_ptr<H2Session> session_;
  bool grpc_ = false;
  bool says_serving_ = false;  ///< the method's answer has whether it serves
  bool ended_ = false, failed_ = false;
  int status_ = 0;
  std::optional<StatusCode> grpc_status_;
  std::string message_;  ///< the first bytes of the answer
};

}  // namespace leadsman::gateway
