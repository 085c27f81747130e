#include "telemetry/senders_schema.h"

#include "base/strings.h"
#include "monitor/edges/profile_message.h"
#include "net/url.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

std::string CheckUrl(const std::string& url) {
  auto parsed = net::ParseUrl(url);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

std::string CheckMonitorUrl(const std::string& url) {
  if (std::string wrong = CheckUrl(url); !wrong.empty()) return wrong;
  return url.find("/api/v1/") == std::string::npos
             ? ""
             : "must be the monitor's admin port alone, as http://monitor:8502";
}

std::string CheckAddress(const std::string& address) {
  return IsMailAddress(address) ? "" : "must be a mail address as ops@example.org";
}

std::string CheckServer(const std::string& server) {
  const bool host = !server.empty() && server.find_first_not_of(
                                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789.-:") == std::string::npos;
  return host ? "" : "must be a host's name or address, without a port";
}

const schema::Struct<SmtpOptions>& SmtpSchema() {
  using Options = SmtpOptions;
  static const auto table = [] {
    schema::Struct<Options> s("MailServer", "A mail server.");
    s.Required("server", &Options::server, schema::TextWith("host", CheckServer),
               "The mail server's name or address.");
    s.Field("port", &Options::port, schema::Integer<uint16_t>(0, 65535),
            "0 = 587 with starttls, 465 with implicit, 25 with none.");
    s.Field("tls", &Options::tls,
            schema::Enum<Options::Tls>({{"starttls", Options::Tls::kStartTls},
                                        {"implicit", Options::Tls::kImplicit},
                                        {"none", Options::Tls::kNone}}),
            "starttls: nothing is sent before the server has agreed to TLS; implicit: TLS from the "
            "first byte; none.");
    s.Field("ca_file", &Options::ca_file, schema::Text(),
            "PEM: who signed the server's certificate; empty = the system's authorities.");
    s.Field("username", &Options::username, schema::Text(), "Who logs in; empty = nobody.");
    s.Field("password_file", &Options::password_file, schema::Text(), "File with the password.");
    s.Field("timeout", &Options::timeout, schema::Time<milliseconds>(100ms, 5min), "For one mail.");
    s.Check([](const Options& o, schema::Problems& problems) {
      if (o.username.empty() != o.password_file.empty())
        problems.Add("password_file", "username and password_file go together");
      if (!o.username.empty() && o.tls == Options::Tls::kNone)
        problems.Add("tls", "the password would be readable on its way: use starttls or implicit");
    });
    return s;
  }();
  return table;
}

std::string CheckEdge(const std::string& name) { return name.empty() ? "" : CheckEdgeName(name); }

const schema::Struct<net::TlsClientOptions>& TlsSchema() {
  using Tls = net::TlsClientOptions;
  static const auto table = [] {
    schema::Struct<Tls> s("SenderTls", "Whom a sender believes, and who it says it is.");
    s.Field("ca_file", &Tls::ca_file, schema::Text(),
            "PEM: who signed the receiver's certificate; empty = the system's authorities.");
    s.Field("cert_file", &Tls::cert_file, schema::Text(),
            "PEM: a certificate to show, with its chain.");
    s.Field("key_file", &Tls::key_file, schema::Text(), "PEM: its key.");
    return s;
  }();
  return table;
}

const schema::Struct<SenderTarget>& TargetSchema() {
  using Target = SenderTarget;
  static const auto table = [] {
    schema::Struct<Target> s("SenderTarget", "A receiver of notifications.");
    s.Required("url", &Target::url, schema::TextWith("http(s)://host:port/path", CheckUrl),
               "Where it is.");
    s.Field("timeout", &Target::timeout, schema::Time<milliseconds>(100ms, 5min),
            "For one message.");
    s.Nested("tls", &Target::tls, TlsSchema(), "For https.");
    s.Field("token_file", &Target::token_file, schema::Text(),
            "File with a bearer token; read again for each message, as all secrets.");
    s.Field("username", &Target::username, schema::Text(), "Basic authentication.");
    s.Field("password_file", &Target::password_file, schema::Text(), "File with its password.");
    s.Check([](const Target& t, schema::Problems& problems) {
      if (!t.token_file.empty() && !t.username.empty())
        problems.Add("username", "either token_file or username with password_file");
      if (t.username.empty() != t.password_file.empty())
        problems.Add("password_file", "username and password_file go together");
      if (t.tls.cert_file.empty() != t.tls.key_file.empty())
        problems.Add("tls.key_file", "cert_file and key_file go together");
    });
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<ProfileSenderOptions>& ProfileSenderOptionsSchema() {
  using Options = ProfileSenderOptions;
  static const auto table = [] {
    schema::Struct<Options> s("SendProfiles",
                              "A monitor that is sent the profiles of all that is seen here "
                              "(docs/edges.md).");
    s.Embedded(&Options::target, TargetSchema());
    s.Field("every", &Options::every, schema::Time<milliseconds>(100ms, 1h), "How often.");
    s.Field("edge", &Options::edge, schema::TextWith("name", CheckEdge),
            "What this process is called there, by no other; empty = the host's name and the admin "
            "port.");
    s.Check([](const Options& o, schema::Problems& problems) {
      if (!problems.IsSound("url")) return;
      if (std::string wrong = CheckMonitorUrl(o.target.url); !wrong.empty())
        problems.Add("url", wrong);
    });
    return s;
  }();
  return table;
}

const schema::Struct<AlertmanagerOptions>& AlertmanagerOptionsSchema() {
  using Options = AlertmanagerOptions;
  static const auto table = [] {
    schema::Struct<Options> s("Alertmanager", "An Alertmanager, of a cluster each one.");
    s.Embedded(&Options::target, TargetSchema());
    s.Field("resend_interval", &Options::resend_interval, schema::Time<milliseconds>(1s, 1h),
            "How often it is told of what fires. An alarm ends by itself four such intervals after "
            "the last message.");
    return s;
  }();
  return table;
}

const schema::Struct<WebhookOptions>& WebhookOptionsSchema() {
  using Options = WebhookOptions;
  static const auto table = [] {
    schema::Struct<Options> s("Webhook",
                              "A receiver of one message for each alarm that fires or ends.");
    s.Embedded(&Options::target, TargetSchema());
    s.Field("secret_file", &Options::secret_file, schema::Text(),
            "File with the secret that messages are signed with (HMAC-SHA256 in the header "
            "X-Leadsman-Signature); empty = they are not signed.");
    s.Field("rollouts", &Options::rollouts, schema::Boolean(),
            "true: it is told of rollouts too, of what alarms.rollout_events lists, in messages "
            "that have `rollout` where others have `alarm`.");
    s.Field("give_up_after", &Options::give_up_after, schema::Time<milliseconds>(1s, 24h),
            "How long a message is tried.");
    return s;
  }();
  return table;
}

const schema::Struct<MailOptions>& MailOptionsSchema() {
  using Options = MailOptions;
  static const auto table = [] {
    schema::Struct<Options> s("Email", "Mails of alarms that fire or end.");
    s.Embedded(&Options::smtp, SmtpSchema());
    s.Required("from", &Options::from, schema::TextWith("address", CheckAddress), "Who writes.");
    s.Required("to", &Options::to, schema::List(schema::TextWith("address", CheckAddress), 1, 50),
               "To whom.");
    s.Field("min_interval", &Options::min_interval, schema::Time<milliseconds>(0ms, 24h),
            "At most one mail in this time; what else fires or ends is joined in the next.");
    s.Field("give_up_after", &Options::give_up_after, schema::Time<milliseconds>(1s, 24h),
            "How long a message is tried, by one process.");
    return s;
  }();
  return table;
}

}  // namespace leadsman
