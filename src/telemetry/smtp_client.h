#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "telemetry/courier.h"

namespace leadsman {

/// A mail server, and who we are there.
struct SmtpOptions {
  enum class Tls {
    kStartTls,  ///< asked for, and nothing is sent without it
    kImplicit,  ///< from the first byte
    kNone,
  };
  std::string server;  ///< a host's name or address
  uint16_t port = 0;   ///< 0: 587 with STARTTLS, 465 with implicit TLS, 25 without
  Tls tls = Tls::kStartTls;
  std::string ca_file;                  ///< PEM; empty: the system's
  std::string username, password_file;  ///< empty: not asked for
  std::chrono::milliseconds timeout{30'000};

  uint16_t EffectivePort() const;
};

/// Hands mails to one server, a connection each. The password is read from its file each time, and is in no message.
/// Externally synchronised; blocks for as long as the errand may take.
class SmtpClient {
 public:
  struct Mail {
    std::string from;  ///< addresses, as IsMailAddress has them
    std::vector<std::string> to;
    std::string text;  ///< the whole of RFC 5322, with CRLF
  };
  struct Answer {
    /// OK: the server has taken it, for at least one of those it goes to.
    Status status;
    int reply = 0;              ///< SMTP's code of what it refused last; 0: none
    bool text_refused = false;  ///< it was the mail itself, and for good
    std::vector<std::string> refused =
        {};  ///< whom it is not taken for, each with the server's words
  };

  /// NOT_FOUND, INVALID_ARGUMENT … name the field and the file: ca_file, password_file.
  static Result<std::unique_ptr<SmtpClient>> Create(SmtpOptions options);
  Answer Send(const Courier::Errand& errand, const Mail& mail);

 private:
  explicit SmtpClient(SmtpOptions options) : options_(std::move(options)) {}
  const SmtpOptions options_;
};

/// "name@host", in the letters that need no quoting: nothing that could be a second command or header.
bool IsMailAddress(std::string_view text);

/// What of its files cannot be read, as "password_file: …". Blocks for the files.
std::vector<std::string> CheckSmtpFiles(const SmtpOptions& options);

}  // namespace leadsman
