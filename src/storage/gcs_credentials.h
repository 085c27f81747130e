#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "storage/store_http.h"
#include "storage/store_options.h"

namespace leadsman {

/// What a Google credentials file holds.
struct GoogleKey {
  enum class Kind { kServiceAccount, kAuthorizedUser };
  Kind kind = Kind::kServiceAccount;
  std::string client_email, private_key, private_key_id;  ///< service account
  std::string client_id, client_secret, refresh_token;    ///< gcloud's own user
  std::string token_uri;
};
/// INVALID_ARGUMENT names the missing field. Workload identity federation ("external_account") is
/// UNIMPLEMENTED.
Result<GoogleKey> ParseGoogleKey(std::string_view json);

/// The signed assertion (RFC 7523, RS256) that a service account gets a token for.
Result<std::string> SignAssertion(const GoogleKey& key, std::string_view scope, WallTime now);

struct GoogleToken {
  std::string token;  ///< empty: nothing is sent
  WallTime expires{};
  std::string origin;
};
/// The answer of a token service.
Result<GoogleToken> ParseTokenAnswer(std::string_view json, WallTime now);

/// Finds an access token where Google's own tools do: GOOGLE_OAUTH_ACCESS_TOKEN, the file of
/// storage.gcs.credentials_file or GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, the machine's
/// metadata service. Kept until it is about to expire or was refused. Thread-safe; may ask the
/// network.
class GoogleTokens {
 public:
  GoogleTokens(const StorageOptions::Gcs& options, Environment environment, StoreHttp& http,
               bool emulator)
      : options_(options), environment_(std::move(environment)), http_(http), emulator_(emulator) {}

  Result<GoogleToken> Get(const StoreCall& call);
  void Refused(const GoogleToken& token);

 private:
  Result<GoogleToken> Find(const StoreCall& call);
  Result<GoogleToken> FromFile(const std::string& path, const StoreCall& call);
  Result<GoogleToken> FromMachine(const StoreCall& call);

  const StorageOptions::Gcs& options_;
  const Environment environment_;
  StoreHttp& http_;
  const bool emulator_;
  Mutex mutex_;
  std::optional<GoogleToken> kept_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
