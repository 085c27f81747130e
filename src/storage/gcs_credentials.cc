#include "storage/gcs_credentials.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "storage/digest.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr size_t kMaxFile = 1 << 20;
constexpr Duration kBeforeExpiry = 2min;
constexpr std::string_view kScope = "https://www.googleapis.com/auth/devstorage.read_only";

std::string Text(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Status NoCredentials(std::string message) {
  return Status(StatusCode::kUnauthenticated, std::move(message));
}

template <auto F>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    F(p);
  }
};

/// RS256 of `text`.
Result<std::string> SignRs256(const std::string& pem, std::string_view text) {
  std::unique_ptr<BIO, Free<BIO_free_all>> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key || EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA)
    return InvalidArgumentError("private_key must be an RSA key in PEM form");
  std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  size_t size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  bool ok = EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
            EVP_DigestSign(context.get(), nullptr, &size, data, text.size()) == 1;
  std::string signature(size, '\0');
  ok = ok && EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()),
                            &size, data, text.size()) == 1;
  if (!ok) return InternalError("the assertion for a token could not be signed");
  signature.resize(size);
  return signature;
}

}  // namespace

Result<GoogleKey> ParseGoogleKey(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidArgumentError("it must be a JSON object");
  std::string type = Text(json, "type");
  GoogleKey key;
  key.token_uri = Text(json, "token_uri");
  if (key.token_uri.empty()) key.token_uri = "https://oauth2.googleapis.com/token";
  auto need = [&](const char* field, std::string& value) -> Status {
    value = Text(json, field);
    return value.empty() ? InvalidArgumentError(StrCat(field, " must be there, as a text"))
                         : OkStatus();
  };
  if (type == "service_account") {
    RETURN_IF_ERROR(need("client_email", key.client_email));
    RETURN_IF_ERROR(need("private_key", key.private_key));
    key.private_key_id = Text(json, "private_key_id");
    return key;
  }
  if (type == "authorized_user") {
    key.kind = GoogleKey::Kind::kAuthorizedUser;
    RETURN_IF_ERROR(need("client_id", key.client_id));
    RETURN_IF_ERROR(need("client_secret", key.client_secret));
    RETURN_IF_ERROR(need("refresh_token", key.refresh_token));
    return key;
  }
  return UnimplementedError(
      StrCat("credentials of type \"", type.substr(0, 40),
             "\" are not supported; service_account and authorized_user are"));
}

Result<std::string> SignAssertion(const GoogleKey& key, std::string_view scope, WallTime now) {
  int64_t seconds = UnixMillis(now) / 1000;
  Json header = {{"alg", "RS256"}, {"typ", "JWT"}};
  if (!key.private_key_id.empty()) header["kid"] = key.private_key_id;
  Json claims = {{"iss", key.client_email},
                 {"scope", std::string(scope)},
                 {"aud", key.token_uri},
                 {"iat", seconds},
                 {"exp", seconds + 3600}};
  std::string text = StrCat(ToBase64Url(header.dump()), ".", ToBase64Url(claims.dump()));
  ASSIGN_OR_RETURN(std::string signature, SignRs256(key.private_key, text));
  return StrCat(text, ".", ToBase64Url(signature));
}

Result<GoogleToken> ParseTokenAnswer(std::string_view text, WallTime now) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return UnavailableError("the token service answered no JSON object");
  if (std::string error = Text(json, "error"); !error.empty())
    return NoCredentials(
        StrCat("the token service refused: ", error, ": ", Text(json, "error_description")));
  GoogleToken token{.token = Text(json, "access_token")};
  if (token.token.empty())
    return UnavailableError("the token service's answer has no access_token");
  auto life = json.find("expires_in");
  int64_t seconds = life != json.end() && life->is_number() ? life->get<int64_t>() : 300;
  token.expires = now + std::chrono::seconds(std::clamp<int64_t>(seconds, 0, 86'400));
  return token;
}

Result<GoogleToken> GoogleTokens::Get(const StoreCall& call) {
  {
    MutexLock lock(mutex_);
    if (kept_ && kept_->expires > SystemClock().Now() + kBeforeExpiry) return *kept_;
  }
  ASSIGN_OR_RETURN(GoogleToken found, Find(call));
  MutexLock lock(mutex_);
  kept_ = found;
  return found;
}

void GoogleTokens::Refused(const GoogleToken& token) {
  MutexLock lock(mutex_);
  if (kept_ && kept_->token == token.token) kept_.reset();
}

Result<GoogleToken> GoogleTokens::Find(const StoreCall& call) {
  WallTime now = SystemClock().Now();
  if (options_.anonymous) return GoogleToken{"", now + Duration(24h), "nowhere (anonymous)"};
  std::string token = environment_("GOOGLE_OAUTH_ACCESS_TOKEN");
  if (!token.empty())
    return GoogleToken{token, now + Duration(10min), "the environment (GOOGLE_OAUTH_ACCESS_TOKEN)"};
  std::string path = options_.credentials_file;
  if (path.empty()) path = environment_("GOOGLE_APPLICATION_CREDENTIALS");
  if (!path.empty()) return FromFile(path, call);
  // An emulator asks for nothing, and looking on would send somebody's token to it.
  if (emulator_) return GoogleToken{"", now + Duration(24h), "nowhere (an endpoint of one's own)"};
  std::string home = environment_("HOME");
  path = JoinPath(home, ".config/gcloud/application_default_credentials.json");
  if (!home.empty() && StampOf(path).ok()) return FromFile(path, call);
  Result<GoogleToken> machine = FromMachine(call);
  if (machine.ok()) return machine;
  return NoCredentials(StrCat(
      "there are no credentials for Google Cloud Storage: looked for GOOGLE_OAUTH_ACCESS_TOKEN, "
      "GOOGLE_APPLICATION_CREDENTIALS, ",
      path, " and the machine's metadata service (", machine.status().message(),
      "); for a public bucket set storage.gcs.anonymous: true"));
}

Result<GoogleToken> GoogleTokens::FromFile(const std::string& path, const StoreCall& call) {
  Result<std::string> text = ReadFile(path, kMaxFile);
  if (!text.ok()) return NoCredentials(StrCat("Google credentials: ", text.status().message()));
  Result<GoogleKey> key = ParseGoogleKey(*text);
  if (!key.ok()) return Annotate(key.status(), path);
  WallTime now = SystemClock().Now();
  StoreRequest request{.method = "POST", .url = key->token_uri};
  request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  if (key->kind == GoogleKey::Kind::kServiceAccount) {
    Result<std::string> assertion = SignAssertion(*key, kScope, now);
    if (!assertion.ok()) return Annotate(assertion.status(), path);
    request.body = StrCat("grant_type=", UrlEncode("urn:ietf:params:oauth:grant-type:jwt-bearer"),
                          "&assertion=", *assertion);
    request.secrets = {*assertion};
  } else {
    request.body = StrCat("grant_type=refresh_token&client_id=", UrlEncode(key->client_id),
                          "&client_secret=", UrlEncode(key->client_secret),
                          "&refresh_token=", UrlEncode(key->refresh_token));
    request.secrets = {key->client_secret, key->refresh_token};
  }
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  Result<GoogleToken> token = ParseTokenAnswer(answer.body, now);
  if (!token.ok() && !answer.ok() && token.status().code() != StatusCode::kUnauthenticated)
    return Annotate(StatusOfAnswer(answer, request.url, ""), path);
  if (!token.ok()) return Annotate(token.status(), path);
  token->origin = path;
  return token;
}

Result<GoogleToken> GoogleTokens::FromMachine(const StoreCall& call) {
  std::string host = environment_("GCE_METADATA_HOST");
  StoreRequest request{.url = StrCat("http://", host.empty() ? "metadata.google.internal" : host,
                                     "/computeMetadata/v1/instance/service-accounts/default/token"),
                       .direct = true};
  request.headers.emplace_back("Metadata-Flavor", "Google");
  StoreCall quick = call;
  quick.deadline = std::min(call.deadline, SystemClock().SteadyNow() + Duration(3s));
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Stream(request, nullptr, nullptr, quick));
  if (!answer.ok()) return StatusOfAnswer(answer, request.url, "");
  ASSIGN_OR_RETURN(GoogleToken token, ParseTokenAnswer(answer.body, SystemClock().Now()));
  token.origin = "the machine's metadata service";
  return token;
}

}  // namespace leadsman
