#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace leadsman {

/// What a bearer token allows.
enum class Role : uint8_t {
  kPredict,  ///< predictions, and what describes models
  kLabel,    ///< true answers for past predictions
  kMetrics,  ///< /metrics, where that needs a token
  kAdmin     ///< everything
};
inline constexpr size_t kRoleCount = 4;
std::string_view RoleName(Role role);

/// The models that a request is about: none, one, or any of them, which only a token that is limited to no models covers. A
/// value, with a view of the name.
class ModelScope {
 public:
  static ModelScope None() { return {Kind::kNone, {}}; }
  static ModelScope Any() { return {Kind::kAny, {}}; }
  /// A name that is missing may mean any model.
  static ModelScope One(std::string_view name) {
    return name.empty() ? Any() : ModelScope(Kind::kOne, name);
  }
  bool none() const { return kind_ == Kind::kNone; }
  bool any() const { return kind_ == Kind::kAny; }
  std::string_view name() const { return name_; }

 private:
  enum class Kind : uint8_t { kNone, kOne, kAny };
  ModelScope(Kind kind, std::string_view name) : kind_(kind), name_(name) {}
  Kind kind_;
  std::string_view name_;
};

/// `auth` of the configuration. A value.
struct AuthOptions {
  std::string tokens_file;       ///< empty: whoever reaches a port may use it
  bool protect_metrics = false;  ///< /metrics needs the role metrics

  bool enabled() const { return !tokens_file.empty(); }
};

/// Says who may do what, by the tokens of a file that is read again when it changes; a file that is no good leaves the old
/// tokens in force. Tokens are kept as SHA-256 hashes only; a token that is presented is hashed and its hash compared in
/// constant time. Never logs one, nor shows one in a message.
///
///   Status status = authorizer.Check(request.Header("authorization"), Role::kPredict, ModelScope::One(model));
///   if (!status.ok()) → UNAUTHENTICATED: 401 with WWW-Authenticate: kChallenge;  PERMISSION_DENIED: 403
///
/// Thread-safe. Check neither blocks nor, when it allows, allocates.
class Authorizer {
 public:
  static constexpr std::string_view kChallenge = "Bearer realm=\"leadsman\"";

  struct Stats {
    uint64_t allowed = 0;
    uint64_t missing = 0;  ///< no token
    uint64_t unknown =
        0;  ///< a token that is not in the file, or something else than a bearer token
    uint64_t forbidden = 0;  ///< a token without the role, or not for this model
    uint64_t reloads = 0;
    uint64_t failed_reloads = 0;
    size_t tokens = 0;  ///< in force
  };
  /// Reads the file. INVALID_ARGUMENT has all problems, one a line; NOT_FOUND …
  static Result<std::unique_ptr<Authorizer>> Create(AuthOptions options, Clock& clock);
  virtual ~Authorizer() = default;

  /// `authorization` is the value of the field of that name, or of the metadata; empty when there is none.
  /// UNAUTHENTICATED, PERMISSION_DENIED.
  virtual Status Check(std::string_view authorization, Role role, ModelScope models) const = 0;
  /// The same of a request whose model is not known yet, before anything of it is read. Only a refusal is counted: Check
  /// follows when it is allowed.
  virtual Status CheckRole(std::string_view authorization, Role role) const = 0;
  /// As TlsServer's: called every few seconds; blocks for the file when it has changed. True when a new one is in force.
  virtual bool CheckFiles() = 0;
  virtual Stats stats() const = 0;
  virtual const AuthOptions& options() const = 0;
};

}  // namespace leadsman
