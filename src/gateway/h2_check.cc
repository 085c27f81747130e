#include "gateway/h2_check.h"

#include <string_view>

#include "base/strings.h"
#include "gateway/grpc_words.h"

namespace leadsman::gateway {
namespace {

using Got = net::StreamSocket::Got;
using namespace std::string_view_literals;  // NOLINT: literals

constexpr size_t kKept = 64;
constexpr size_t kPiece = 16 << 10;
constexpr uint64_t kMaxAnswer = 1 << 20;  // of all that comes: a check does not keep others waiting
constexpr std::string_view kEmptyMessage = "\0\0\0\0\0"sv;
/// Behind a message's prefix: field 1 is true, or SERVING.
constexpr std::string_view kServes = "\x08\x01";

}  // namespace

bool H2Check::Begin(const std::string& path, const std::string& host, bool grpc, bool secure) {
  grpc_ = grpc;
  says_serving_ = path == "/grpc.health.v1.Health/Check" ||
                  path == "/inference.GRPCInferenceService/ServerReady";
  session_ = H2Session::Client(*this, {});
  if (!session_) return false;
  const std::string_view scheme = secure ? "https" : "http";
  const H2Field get[] = {{":method", "GET"},
                         {":scheme", scheme},
                         {":authority", host},
                         {":path", path},
                         {"user-agent", "leadsman-health"},
                         {"accept", "*/*"}};
  const H2Field call[] = {{":method", "POST"},
                          {":scheme", scheme},
                          {":authority", host},
                          {":path", path},
                          {"te", "trailers"},
                          {"content-type", "application/grpc"},
                          {"user-agent", "leadsman-health"}};
  H2Stream* const stream =
      grpc ? session_->Open(*this, call, false) : session_->Open(*this, get, true);
  if (stream == nullptr) return false;
  if (grpc) {
    stream->Send(kEmptyMessage);
    stream->SendEnd();
  }
  return true;
}

std::optional<std::string> H2Check::Run() {
  Flush();
  while (!ended_ && !failed_) {
    const Got got = socket_.Fill();
    if (got == Got::kNothing) return std::nullopt;
    if (got != Got::kBytes) {
      return StrCat("was not answered: the connection ended",
                    socket_.tls_error().empty() ? "" : StrCat(": ", socket_.tls_error()));
    }
    const bool good = session_->Feed(socket_.input());
    socket_.Take(socket_.input().size());
    if (!good) return "was answered with what is not HTTP/2";
    Flush();
    if (!ended_ && socket_.bytes_in() > kMaxAnswer)
      return StrCat("was answered with more than ", kMaxAnswer, " bytes");
  }
  return ended_ ? Verdict() : "was not answered: the stream was reset";
}

void H2Check::Flush() {
  std::string out;
  session_->Take(out, kPiece);
  (void)socket_.Send(out);  // that it is broken is seen where it is read
}

std::string H2Check::Verdict() const {
  if (status_ < 200 || status_ > 399) return StrCat("was answered ", status_);
  if (!grpc_) return "";
  const StatusCode code = grpc_status_.value_or(StatusCode::kUnknown);
  if (code != StatusCode::kOk) return StrCat("was answered ", StatusCodeName(code));
  if (says_serving_ && std::string_view(message_).substr(0, 7).substr(
                           std::min<size_t>(5, message_.size())) != kServes)
    return "says that it does not serve";
  return "";
}

void H2Check::OnHead(H2Stream& /*stream*/, H2Fields fields, bool end) {
  for (const H2Field& field : fields) {
    if (field.name == ":status") status_ = static_cast<int>(ParseInt64(field.value).value_or(0));
    if (field.name == "grpc-status") grpc_status_ = ParseGrpcStatus(field.value);
  }
  // Of a GET the head says all.
  ended_ = ended_ || end || (!grpc_ && status_ >= 200);
}

void H2Check::OnHeadTooLarge(H2Stream& /*stream*/) { failed_ = true; }

void H2Check::OnData(H2Stream& stream, std::string_view bytes) {
  message_.append(bytes.substr(0, kKept - std::min(kKept, message_.size())));
  stream.Consumed(bytes.size());
}

void H2Check::OnTrailers(H2Stream& /*stream*/, H2Fields fields) {
  for (const H2Field& field : fields) {
    if (field.name == "grpc-status") grpc_status_ = ParseGrpcStatus(field.value);
  }
}

void H2Check::OnClosed(H2Stream& /*stream*/, H2Error /*code*/) { failed_ = failed_ || !ended_; }

}  // namespace leadsman::gateway
