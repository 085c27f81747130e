#include "telemetry/smtp_client.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"
#include "telemetry/curl_transfer.h"
#include "telemetry/sender_http.h"

namespace leadsman {
namespace {

constexpr size_t kWordsShown = 200;

/// One mail on its way: what libcurl's callbacks need and find out.
struct Delivery {
  enum class Stage { kEnvelope, kDataAsked, kText, kTaken };

  const std::string& text;
  const std::atomic<bool>& cancelled;
  SmtpClient::Answer& answer;
  size_t at = 0;               ///< of `text`, what has been sent
  std::string recipient = {};  ///< of whom the server has just been told
  std::string refusal = {};    ///< its last, in its words
  Stage stage = Stage::kEnvelope;

  static size_t OnRead(char* out, size_t size, size_t count, void* self_) {
    auto& self = *static_cast<Delivery*>(self_);
    const size_t bytes = std::min(size * count, self.text.size() - self.at);
    std::copy_n(self.text.data() + self.at, bytes, out);
    self.at += bytes;
    return bytes;
  }
  /// Commands and replies. A command may hold a password: only two are looked at.
  static int OnTalk(CURL*, curl_infotype type, char* data, size_t size, void* self_) {
    auto& self = *static_cast<Delivery*>(self_);
    std::string_view line(data, size);
    if (type == CURLINFO_HEADER_OUT) {
      self.OnCommand(Trim(line));
    } else if (type == CURLINFO_HEADER_IN) {
      self.OnReply(Trim(line));
    }
    return 0;
  }
  /// Ends what is cancelled, and what only waits for the server to say goodbye.
  static int OnProgress(void* self_, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& self = *static_cast<Delivery*>(self_);
    return self.cancelled || self.stage == Stage::kTaken ? 1 : 0;
  }

  void OnCommand(std::string_view command) {
    recipient.clear();
    constexpr std::string_view kRecipient = "RCPT TO:<";
    if (command.starts_with(kRecipient)) {
      command.remove_prefix(kRecipient.size());
      recipient = command.substr(0, command.find('>'));
    }
    if (stage == Stage::kTaken) return;
    // No command comes between the text and its answer: any other has an answer of its own.
    stage = command == "DATA" ? Stage::kDataAsked : Stage::kEnvelope;
  }
  void OnReply(std::string_view reply) {
    if (reply.size() < 3 || (reply.size() > 3 && reply[3] == '-')) return;  // more lines follow
    const auto code = ParseInt64(reply.substr(0, 3));
    if (!code) return;
    if (*code >= 400) {
      refusal = ToUtf8(CutUtf8(reply, kWordsShown));
      answer.reply = static_cast<int>(*code);
      if (!recipient.empty()) answer.refused.push_back(StrCat(recipient, " (", refusal, ")"));
      if (stage == Stage::kText && *code >= 500) answer.text_refused = true;
    } else if (stage == Stage::kDataAsked) {
      stage = Stage::kText;
    } else if (stage == Stage::kText) {
      stage = Stage::kTaken;
    }
  }
};

Status StatusOf(CURLcode code, const char* details, const Delivery& delivery,
                const std::string& server) {
  if (delivery.stage == Delivery::Stage::kTaken) return OkStatus();
  if (delivery.cancelled) return CancelledError(StrCat("the mail to ", server, " was cancelled"));
  std::string what =
      StrCat("mail server ", server, ": ", *details != '\0' ? details : curl_easy_strerror(code));
  if (!delivery.refusal.empty()) what += StrCat("; it says: ", delivery.refusal);
  switch (code) {
    case CURLE_LOGIN_DENIED:
      return Status(StatusCode::kUnauthenticated, StrCat(what, "; see username and password_file"));
    case CURLE_OPERATION_TIMEDOUT:
      return DeadlineExceededError(what);
    case CURLE_USE_SSL_FAILED:
      return FailedPreconditionError(
          StrCat(what, "; it offers no STARTTLS: set tls to implicit or none"));
    case CURLE_PEER_FAILED_VERIFICATION:
      return FailedPreconditionError(
          StrCat(what, "; give the certificate of the authority that signed it as ca_file"));
    default:
      return UnavailableError(what);
  }
}

}  // namespace

uint16_t SmtpOptions::EffectivePort() const {
  if (port != 0) return port;
  switch (tls) {
    case Tls::kStartTls:
      return 587;
    case Tls::kImplicit:
      return 465;
    case Tls::kNone:
      break;
  }
  return 25;
}

bool IsMailAddress(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+/=?^_`{|}~.-";
  const size_t at = text.find('@');
  if (at == 0 || at == std::string_view::npos || at + 1 == text.size() || text.size() > 254)
    return false;
  auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const std::string_view host = text.substr(at + 1);
  return std::all_of(
             text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at),
             [&](char c) { return plain(c) || kOthers.find(c) != std::string_view::npos; }) &&
         std::all_of(host.begin(), host.end(),
                     [&](char c) { return plain(c) || c == '.' || c == '-'; });
}

std::vector<std::string> CheckSmtpFiles(const SmtpOptions& options) {
  std::vector<std::string> wrong;
  if (!options.ca_file.empty()) {  // the system's take long to read
    net::TlsClientOptions tls;
    tls.ca_file = options.ca_file;
    if (Status status = net::TlsClient::Create(tls).status(); !status.ok())
      wrong.emplace_back(status.message());
  }
  if (options.password_file.empty()) return wrong;
  if (Status status = ReadSecret(options.password_file).status(); !status.ok())
    wrong.push_back(StrCat("password_file: ", status.message()));
  return wrong;
}

Result<std::unique_ptr<SmtpClient>> SmtpClient::Create(SmtpOptions options) {
  InitCurl();
  if (std::vector<std::string> wrong = CheckSmtpFiles(options); !wrong.empty())
    return InvalidArgumentError(wrong.front());
  return std::unique_ptr<SmtpClient>(new SmtpClient(std::move(options)));
}

SmtpClient::Answer SmtpClient::Send(const Courier::Errand& errand, const Mail& mail) {
  Answer answer;
  std::string password;
  if (!options_.username.empty()) {
    auto read = ReadSecret(options_.password_file);
    if (!read.ok()) return {Annotate(read.status(), "password_file")};
    password = std::move(*read);
  }
  const bool literal = options_.server.find(':') != std::string::npos;  // IPv6
  const std::string server = StrCat(literal ? "[" : "", options_.server, literal ? "]" : "", ":",
                                    options_.EffectivePort());
  const std::string url =
      StrCat(options_.tls == SmtpOptions::Tls::kImplicit ? "smtps://" : "smtp://", server);
  Delivery delivery{.text = mail.text, .cancelled = errand.cancelled, .answer = answer};
  char details[CURL_ERROR_SIZE] = "";

  const CurlHandle easy(curl_easy_init());
  CurlList to;
  bool memory = easy != nullptr;
  for (const std::string& address : mail.to)
    memory = memory && AppendTo(to, StrCat("<", address, ">").c_str());
  if (!memory || to == nullptr) return {ResourceExhaustedError("no memory for a mail")};
  auto set = [&](CURLoption option, auto value) {
    const CURLcode code = curl_easy_setopt(easy.get(), option, value);
    if (code != CURLE_OK && answer.status.ok())
      answer.status = InternalError(StrCat("libcurl: ", curl_easy_strerror(code)));
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_USE_SSL,
      static_cast<long>(options_.tls == SmtpOptions::Tls::kStartTls ? CURLUSESSL_ALL
                                                                    : CURLUSESSL_NONE));
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (!options_.username.empty()) {
    set(CURLOPT_USERNAME, options_.username.c_str());
    set(CURLOPT_PASSWORD, password.c_str());
  }
  const std::string from = StrCat("<", mail.from, ">");
  set(CURLOPT_MAIL_FROM, from.c_str());
  set(CURLOPT_MAIL_RCPT, to.get());
  set(CURLOPT_MAIL_RCPT_ALLLOWFAILS,
      1L);  // one address that is gone must not keep it from the others
  set(CURLOPT_UPLOAD, 1L);
  set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(mail.text.size()));
  set(CURLOPT_READFUNCTION, &Delivery::OnRead);
  set(CURLOPT_READDATA, static_cast<void*>(&delivery));
  set(CURLOPT_VERBOSE, 1L);  // to OnTalk alone
  set(CURLOPT_DEBUGFUNCTION, &Delivery::OnTalk);
  set(CURLOPT_DEBUGDATA, static_cast<void*>(&delivery));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Delivery::OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&delivery));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(errand.most.count()));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // a resolver that hangs is not waited for
  set(CURLOPT_ERRORBUFFER, &details[0]);
  if (!answer.status.ok()) return answer;
  const CURLcode code = PerformCurl(easy.get(), delivery.cancelled);
  answer.status = StatusOf(code, details, delivery, server);
  return answer;
}

}  // namespace leadsman
