#include "storage/aws_credentials.h"

#include <utility>

#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr size_t kMaxFile = 1 << 20;
constexpr Duration kBeforeExpiry = 5min;
constexpr const char* kMachineService = "http://169.254.169.254";

std::string Text(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::optional<int> Digits(std::string_view text, size_t at, size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int value = 0;
  for (char c : text.substr(at, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

AwsProfiles ParseAwsProfiles(std::string_view text) {
  AwsProfiles profiles;
  std::string section;
  for (std::string_view line : Split(text, '\n')) {
    bool nested = line.starts_with(' ') || line.starts_with('\t');
    line = Trim(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[' && line.ends_with(']')) {
      std::string_view name = Trim(line.substr(1, line.size() - 2));
      if (name.starts_with("profile ")) name = Trim(name.substr(8));
      section = std::string(name);
      profiles[section];
      continue;
    }
    size_t equals = line.find('=');
    if (nested || section.empty() || equals == std::string_view::npos) continue;
    profiles[section][std::string(Trim(line.substr(0, equals)))] =
        std::string(Trim(line.substr(equals + 1)));
  }
  return profiles;
}

std::optional<WallTime> ParseIsoTime(std::string_view text) {
  auto year = Digits(text, 0, 4), month = Digits(text, 5, 2), day = Digits(text, 8, 2);
  auto hour = Digits(text, 11, 2), minute = Digits(text, 14, 2), second = Digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T' || !(text.ends_with('Z') || text.ends_with("+00:00"))) {
    return std::nullopt;
  }
  std::chrono::year_month_day date{std::chrono::year(*year),
                                   std::chrono::month(static_cast<unsigned>(*month)),
                                   std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return WallTime(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hour) +
                  std::chrono::minutes(*minute) + std::chrono::seconds(*second));
}

Result<AwsCredentials> ParseStsAnswer(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size()))
    return UnavailableError("STS answered what is no XML");
  if (auto error = document.child("ErrorResponse").child("Error")) {
    return Status(StatusCode::kUnauthenticated,
                  StrCat("STS refused the web identity token: ", error.child_value("Code"), ": ",
                         error.child_value("Message")));
  }
  auto found = document.child("AssumeRoleWithWebIdentityResponse")
                   .child("AssumeRoleWithWebIdentityResult")
                   .child("Credentials");
  AwsCredentials credentials{.access_key = found.child_value("AccessKeyId"),
                             .secret_key = found.child_value("SecretAccessKey"),
                             .session_token = found.child_value("SessionToken")};
  credentials.expires = ParseIsoTime(found.child_value("Expiration"));
  if (credentials.access_key.empty() || credentials.secret_key.empty())
    return UnavailableError("the answer of STS holds no credentials");
  return credentials;
}

Result<AwsCredentials> ParseCredentialService(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return UnavailableError("the credential service answered no JSON object");
  AwsCredentials credentials{.access_key = Text(json, "AccessKeyId"),
                             .secret_key = Text(json, "SecretAccessKey"),
                             .session_token = Text(json, "Token")};
  credentials.expires = ParseIsoTime(Text(json, "Expiration"));
  if (credentials.access_key.empty() || credentials.secret_key.empty())
    return UnavailableError("the credential service's answer holds no credentials");
  return credentials;
}

Result<AwsCredentials> AwsCredentialChain::Get(const StoreCall& call) {
  {
    MutexLock lock(mutex_);
    if (kept_ && (!kept_->expires || *kept_->expires > SystemClock().Now() + kBeforeExpiry))
      return *kept_;
  }
  ASSIGN_OR_RETURN(AwsCredentials found, Find(call));
  MutexLock lock(mutex_);
  kept_ = found;
  return found;
}

void AwsCredentialChain::Refused(const AwsCredentials& credentials) {
  MutexLock lock(mutex_);
  if (kept_ && kept_->access_key == credentials.access_key &&
      kept_->session_token == credentials.session_token) {
    kept_.reset();
  }
}

std::string AwsCredentialChain::ProfileName() const {
  if (!options_.profile.empty()) return options_.profile;
  std::string name = environment_("AWS_PROFILE");
  return name.empty() ? "default" : name;
}

std::string AwsCredentialChain::FileOf(const char* variable, const char* name) const {
  std::string path = environment_(variable);
  if (!path.empty()) return path;
  std::string home = environment_("HOME");
  return home.empty() ? "" : JoinPath(home, StrCat(".aws/", name));
}

std::string AwsCredentialChain::Region() const {
  if (!options_.region.empty()) return options_.region;
  for (const char* variable : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    std::string region = environment_(variable);
    if (!region.empty()) return region;
  }
  for (const auto& [variable, name] : {std::pair("AWS_CONFIG_FILE", "config"),
                                       std::pair("AWS_SHARED_CREDENTIALS_FILE", "credentials")}) {
    Result<std::string> text = ReadFile(FileOf(variable, name), kMaxFile);
    if (!text.ok()) continue;
    std::string region = ParseAwsProfiles(*text)[ProfileName()]["region"];
    if (!region.empty()) return region;
  }
  return "us-east-1";
}

std::optional<AwsCredentials> AwsCredentialChain::FromProfile() const {
  for (const auto& [variable, name] : {std::pair("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
                                       std::pair("AWS_CONFIG_FILE", "config")}) {
    std::string path = FileOf(variable, name);
    Result<std::string> text = ReadFile(path, kMaxFile);
    if (!text.ok()) continue;
    auto profile = ParseAwsProfiles(*text)[ProfileName()];
    if (profile["aws_access_key_id"].empty() || profile["aws_secret_access_key"].empty()) continue;
    return AwsCredentials{.access_key = profile["aws_access_key_id"],
                          .secret_key = profile["aws_secret_access_key"],
                          .session_token = profile["aws_session_token"],
                          .origin = StrCat("profile ", ProfileName(), " of ", path)};
  }
  return std::nullopt;
}

Result<AwsCredentials> AwsCredentialChain::Find(const StoreCall& call) {
  bool profile_asked_for = !options_.profile.empty();
  std::string key = environment_("AWS_ACCESS_KEY_ID");
  std::string secret = environment_("AWS_SECRET_ACCESS_KEY");
  if (!profile_asked_for && !key.empty() && !secret.empty()) {
    return AwsCredentials{.access_key = key,
                          .secret_key = secret,
                          .session_token = environment_("AWS_SESSION_TOKEN"),
                          .origin = "the environment (AWS_ACCESS_KEY_ID)"};
  }
  if (!profile_asked_for && !environment_("AWS_WEB_IDENTITY_TOKEN_FILE").empty())
    return FromWebIdentity(call);
  if (auto credentials = FromProfile()) return *credentials;
  if (profile_asked_for) {
    return Status(
        StatusCode::kUnauthenticated,
        StrCat("there are no credentials: profile ", options_.profile, " (storage.s3.profile) ",
               "is not in ", FileOf("AWS_SHARED_CREDENTIALS_FILE", "credentials"), " nor in ",
               FileOf("AWS_CONFIG_FILE", "config")));
  }
  if (!environment_("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").empty() ||
      !environment_("AWS_CONTAINER_CREDENTIALS_FULL_URI").empty()) {
    return FromContainer(call);
  }
  Result<AwsCredentials> machine = InternalError("not asked");
  std::string off = environment_("AWS_EC2_METADATA_DISABLED");
  if (options_.endpoint.empty() && !EqualsIgnoreCase(off, "true")) {
    machine = FromMachine(call);
    if (machine.ok()) return machine;
  }
  return Status(
      StatusCode::kUnauthenticated,
      StrCat("there are no credentials for S3: looked for AWS_ACCESS_KEY_ID and "
             "AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE, profile ",
             ProfileName(), " in ", FileOf("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
             ", a container's and the machine's credential service; for a public bucket set "
             "storage.s3.anonymous: true"));
}

Result<AwsCredentials> AwsCredentialChain::FromWebIdentity(const StoreCall& call) {
  std::string file = environment_("AWS_WEB_IDENTITY_TOKEN_FILE");
  Result<std::string> token = ReadFile(file, kMaxFile);
  if (!token.ok())
    return Status(StatusCode::kUnauthenticated,
                  StrCat("AWS_WEB_IDENTITY_TOKEN_FILE: ", token.status().message()));
  std::string endpoint = options_.sts_endpoint;
  if (endpoint.empty()) endpoint = environment_("AWS_ENDPOINT_URL_STS");
  if (endpoint.empty()) endpoint = StrCat("https://sts.", Region(), ".amazonaws.com");
  std::string session = environment_("AWS_ROLE_SESSION_NAME");
  std::string role = environment_("AWS_ROLE_ARN");
  StoreRequest request{.method = "POST", .url = endpoint};
  request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.body = StrCat("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=",
                        UrlEncode(session.empty() ? "leadsman" : session),
                        "&WebIdentityToken=", UrlEncode(Trim(*token)));
  if (!role.empty()) request.body += StrCat("&RoleArn=", UrlEncode(role));
  request.secrets = {std::string(Trim(*token))};
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  std::string origin = StrCat("the web identity token in ", file);
  Result<AwsCredentials> credentials = ParseStsAnswer(answer.body);
  if (!credentials.ok()) {
    if (answer.ok() || credentials.status().code() == StatusCode::kUnauthenticated)
      return Annotate(credentials.status(), origin);
    return Annotate(StatusOfAnswer(answer, endpoint, ""), origin);
  }
  credentials->origin = origin;
  return credentials;
}

Result<AwsCredentials> AwsCredentialChain::FromContainer(const StoreCall& call) {
  std::string relative = environment_("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  StoreRequest request{.url = relative.empty() ? environment_("AWS_CONTAINER_CREDENTIALS_FULL_URI")
                                               : StrCat("http://169.254.170.2", relative),
                       .direct = true};
  request.authorization = environment_("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  std::string file = environment_("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  if (!file.empty()) {
    ASSIGN_OR_RETURN(std::string token, ReadFile(file, kMaxFile));
    request.authorization = std::string(Trim(token));
  }
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  if (!answer.ok()) return StatusOfAnswer(answer, request.url, "");
  ASSIGN_OR_RETURN(AwsCredentials credentials, ParseCredentialService(answer.body));
  credentials.origin = "the container's credential service";
  return credentials;
}

Result<AwsCredentials> AwsCredentialChain::FromMachine(const StoreCall& call) {
  StoreCall quick = call;
  quick.deadline = std::min(call.deadline, SystemClock().SteadyNow() + Duration(3s));
  auto ask = [&](StoreRequest request) {
    request.direct = true;  // a proxy would answer for its own machine
    return http_.Stream(request, nullptr, nullptr, quick);
  };
  StoreRequest for_token{.method = "PUT", .url = StrCat(kMachineService, "/latest/api/token")};
  for_token.headers.emplace_back("X-aws-ec2-metadata-token-ttl-seconds", "300");
  ASSIGN_OR_RETURN(StoreAnswer token, ask(for_token));
  StoreRequest request{.url =
                           StrCat(kMachineService, "/latest/meta-data/iam/security-credentials/")};
  if (token.ok()) request.headers.emplace_back("X-aws-ec2-metadata-token", token.body);
  ASSIGN_OR_RETURN(StoreAnswer role, ask(request));
  if (!role.ok()) return StatusOfAnswer(role, request.url, "");
  request.url += std::string(Trim(role.body));
  ASSIGN_OR_RETURN(StoreAnswer answer, ask(request));
  if (!answer.ok()) return StatusOfAnswer(answer, request.url, "");
  ASSIGN_OR_RETURN(AwsCredentials credentials, ParseCredentialService(answer.body));
  credentials.origin = "the machine's credential service";
  return credentials;
}

}  // namespace leadsman
