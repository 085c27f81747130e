#include "monitor/labels/redis_options.h"

#include <algorithm>

#include "base/fs.h"
#include "base/strings.h"
#include "net/url.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr size_t kMaxPassword = 64 << 10;

std::string CheckAddress(const std::string& address) {
  const auto url = net::ParseUrl(StrCat("http://", address));
  const size_t colon = address.rfind(':');
  const bool has_port = colon != std::string::npos &&
                        address.find(']', colon) == std::string::npos && colon + 1 < address.size();
  if (!url.ok() || !has_port || url->authority != address)
    return "must be host:port, as redis:6379 or [::1]:6379";
  return "";
}

std::string CheckPrefix(const std::string& prefix) {
  const bool plain =
      !prefix.empty() && prefix.size() <= 100 &&
      std::all_of(prefix.begin(), prefix.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return plain ? "" : "must be 1 to 100 visible ASCII characters without spaces, as leadsman:";
}

const schema::Struct<net::TlsClientOptions>& TlsSchema() {
  using Tls = net::TlsClientOptions;
  static const auto table = [] {
    schema::Struct<Tls> s("RedisTls",
                          "TLS to Redis. Files are relative to the configuration file.");
    s.Field("ca_file", &Tls::ca_file, schema::Text(),
            "PEM: who signed Redis' certificate; empty = the system's authorities.");
    s.Field("cert_file", &Tls::cert_file, schema::Text(),
            "PEM: a certificate to show, with its chain.");
    s.Field("key_file", &Tls::key_file, schema::Text(), "PEM: its key.");
    s.Check([](const Tls& tls, schema::Problems& problems) {
      if (tls.cert_file.empty() != tls.key_file.empty())
        problems.Add("key_file", "cert_file and key_file go together");
    });
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<RedisOptions>& RedisOptionsSchema() {
  static const auto table = [] {
    using Redis = RedisOptions;
    schema::Struct<Redis> s("LabelRedis",
                            "The Redis that several processes share (docs/labels.md).");
    s.Required("address", &Redis::address, schema::TextWith("host:port", CheckAddress),
               "Where it is; of a replicated one the primary, or what leads there.");
    s.Field("user", &Redis::user, schema::Text(), "Whom to log in as; empty = the default user.");
    s.Field("password_file", &Redis::password_file, schema::Text(),
            "File with the password; read again at every connection. Relative to the configuration "
            "file.");
    s.Field("tls", &Redis::tls, schema::Optional(schema::Of(TlsSchema())),
            "TLS; absent = without. `{}` trusts the system's authorities.");
    s.Field("database", &Redis::database, schema::Integer<uint32_t>(0, 1'000'000),
            "The number of the database.");
    s.Field("key_prefix", &Redis::key_prefix, schema::TextWith("text", CheckPrefix),
            "What all keys begin with. Processes that serve the same traffic have the same; others "
            "another.");
    s.Field("timeout", &Redis::timeout, schema::Time<milliseconds>(10ms, 1min),
            "To connect, and for each round trip.");
    s.Check([](const Redis& redis, schema::Problems& problems) {
      if (!redis.user.empty() && redis.password_file.empty())
        problems.Add("password_file", "a user needs password_file");
    });
    return s;
  }();
  return table;
}

Result<std::string> ReadRedisPassword(const RedisOptions& options) {
  if (options.password_file.empty()) return std::string();
  auto text = ReadFile(options.password_file, kMaxPassword);
  if (!text.ok()) return Annotate(text.status(), "password_file");
  std::string password(Trim(*text));
  if (password.empty())
    return InvalidArgumentError(StrCat("password_file: ", options.password_file, " is empty"));
  return password;
}

std::vector<std::string> CheckRedisFiles(const RedisOptions& options) {
  std::vector<std::string> wrong;
  if (Status status = ReadRedisPassword(options).status(); !status.ok())
    wrong.emplace_back(status.message());
  if (options.tls) {
    if (Status status = net::TlsClient::Create(*options.tls).status(); !status.ok())
      wrong.push_back(StrCat("tls.", status.message()));
  }
  return wrong;
}

}  // namespace leadsman
