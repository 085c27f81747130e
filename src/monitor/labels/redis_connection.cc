#include "monitor/labels/redis_connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"
#include "net/client_connection.h"

namespace leadsman {
namespace {

using net::ClientConnection;
using Io = ClientConnection::Io;

constexpr size_t kReadAtOnce = 64 << 10;
/// Of the replies to one call: more is no answer to what we ask.
constexpr size_t kMaxReplies = 64 << 20;
constexpr size_t kWordsShown = 200;

void Append(std::string& out, const RedisConnection::Command& command) {
  out += StrCat("*", command.size(), "\r\n");
  for (const std::string& word : command) out += StrCat("$", word.size(), "\r\n", word, "\r\n");
}

RedisConnection::Reply ReplyOf(const redisReply& from) {
  using Kind = RedisConnection::Reply::Kind;
  switch (from.type) {
    case REDIS_REPLY_NIL:
      return {Kind::kNil, {}, 0};
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      return {Kind::kText, std::string(from.str, from.len), 0};
    case REDIS_REPLY_ERROR:
      return {Kind::kError, std::string(from.str, from.len), 0};
    case REDIS_REPLY_INTEGER:
      return {Kind::kInteger, {}, from.integer};
    default:
      return {Kind::kOther, {}, 0};
  }
}

}  // namespace

Status StatusOfRedis(std::string_view error, const RedisOptions& options) {
  const std::string_view word = error.substr(0, error.find(' '));
  const std::string said =
      StrCat("redis at ", options.address, " says: ", ToUtf8(CutUtf8(error, kWordsShown)));
  auto is = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  // Old ones answer AUTH with a plain ERR.
  if (is({"NOAUTH", "WRONGPASS"}) || error.find("AUTH") != std::string_view::npos ||
      error.find("invalid password") != std::string_view::npos)
    return Status(StatusCode::kUnauthenticated, StrCat(said, "; see user and password_file"));
  if (is({"NOPERM"}))
    return PermissionDeniedError(
        StrCat(said, "; the user needs ~", options.key_prefix, "* +get +set +del +ping +select"));
  if (is({"OOM"}))
    return ResourceExhaustedError(
        StrCat(said, "; raise its maxmemory, or shorten label_timeout of the models"));
  if (is({"READONLY"}))
    return FailedPreconditionError(
        StrCat(said, "; it is a replica: address has to lead to the primary"));
  if (is({"MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"}))
    return FailedPreconditionError(
        StrCat(said, "; a cluster is not supported: give one that is not, or a proxy before it"));
  if (is({"LOADING", "BUSY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "TRYAGAIN", "UNKILLABLE"}))
    return UnavailableError(said);
  return InvalidArgumentError(said);
}

void RedisConnection::FreeReader::operator()(redisReader* reader) const { redisReaderFree(reader); }

RedisConnection::RedisConnection(const RedisOptions& options,
                                 std::unique_ptr<ClientConnection> connection,
                                 const std::atomic<bool>& cancelled)
    : options_(options),
      connection_(std::move(connection)),
      cancelled_(cancelled),
      reader_(redisReaderCreate()) {}

RedisConnection::~RedisConnection() = default;

Result<std::unique_ptr<RedisConnection>> RedisConnection::Open(const RedisOptions& options,
                                                               const net::TlsClient* tls,
                                                               const std::atomic<bool>& cancelled) {
  ASSIGN_OR_RETURN(const std::string password, ReadRedisPassword(options));
  ASSIGN_OR_RETURN(net::Url url, net::ParseUrl(StrCat("http://", options.address)));
  url.https = tls != nullptr;
  const net::ExchangeLimits limits{.deadline = std::chrono::steady_clock::now() + options.timeout,
                                   .cancelled = &cancelled};
  auto connected =
      ClientConnection::Open(url, static_cast<const net::TlsClientContext*>(tls), limits);
  if (!connected.ok()) return Annotate(connected.status(), "redis");
  std::unique_ptr<RedisConnection> made(
      new RedisConnection(options, std::move(*connected), cancelled));
  if (made->reader_ == nullptr) return ResourceExhaustedError("no memory for a redis connection");
  RETURN_IF_ERROR(made->LogIn(password));
  return made;
}

Status RedisConnection::LogIn(const std::string& password) {
  std::vector<Command> commands;
  if (!password.empty()) {
    Command& login = commands.emplace_back(Command{"AUTH"});
    if (!options_.user.empty()) login.push_back(options_.user);
    login.push_back(password);
  }
  if (options_.database != 0) commands.push_back({"SELECT", std::to_string(options_.database)});
  commands.push_back({"PING"});
  ASSIGN_OR_RETURN(const std::vector<Reply> replies, Ask(commands));
  for (const Reply& reply : replies)
    if (reply.kind == Reply::Kind::kError) return StatusOfRedis(reply.text, options_);
  return OkStatus();
}

Status RedisConnection::Feed(std::string_view bytes, std::vector<Reply>& replies) {
  auto broken = [&] {
    return UnavailableError(
        StrCat(options_.address, " does not speak redis' protocol: ", reader_->errstr));
  };
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK) return broken();
  for (;;) {
    void* raw = nullptr;
    if (redisReaderGetReply(reader_.get(), &raw) != REDIS_OK) return broken();
    if (raw == nullptr) return OkStatus();
    replies.push_back(ReplyOf(*static_cast<redisReply*>(raw)));
    freeReplyObject(raw);
  }
}

Result<std::vector<RedisConnection::Reply>> RedisConnection::Ask(
    const std::vector<Command>& commands) {
  std::string out;
  for (const Command& command : commands) Append(out, command);
  const net::ExchangeLimits limits{.deadline = std::chrono::steady_clock::now() + options_.timeout,
                                   .cancelled = &cancelled_};
  auto lost = [&](const char* how) {
    return UnavailableError(StrCat("redis at ", options_.address, " ", how));
  };
  std::vector<Reply> replies;
  std::vector<char> in(kReadAtOnce);
  size_t sent = 0, received = 0;
  // Reads while it writes: a server that cannot get rid of its replies reads no more commands.
  while (replies.size() < commands.size()) {
    short wanted = POLLIN;
    if (sent < out.size()) {
      size_t bytes = 0;
      const Io io = connection_->Write(std::string_view(out).substr(sent), &bytes);
      if (io == Io::kEnd || io == Io::kLost) return lost("has ended the connection");
      if (io == Io::kOk) sent += bytes;
      if (io != Io::kWantRead && sent < out.size()) wanted |= POLLOUT;
    }
    size_t bytes = 0;
    const Io io = connection_->Read(in.data(), in.size(), &bytes);
    if (io == Io::kEnd || io == Io::kLost) return lost("has ended the connection");
    if (io == Io::kOk) {
      received += bytes;
      if (received > kMaxReplies) return lost("answers more than it was asked for");
      RETURN_IF_ERROR(Feed({in.data(), bytes}, replies));
      continue;
    }
    if (io == Io::kWantWrite) wanted |= POLLOUT;
    RETURN_IF_ERROR(Annotate(connection_->Await(wanted, limits), "redis"));
  }
  if (replies.size() > commands.size()) return lost("answers more than it was asked for");
  return replies;
}

}  // namespace leadsman
