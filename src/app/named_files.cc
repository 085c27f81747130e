#include "app/named_files.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "auth/authorizer.h"
#include "backend/python/worker_process.h"
#include "base/clock.h"
#include "base/strings.h"
#include "monitor/drift/reference_file.h"
#include "monitor/schema/data_schema.h"
#include "net/tls_server.h"
#include "storage/detect.h"
#include "storage/file_source.h"
#include "telemetry/outside_asker.h"
#include "telemetry/sender_http.h"
#include "telemetry/smtp_client.h"

namespace leadsman {
namespace {

/// Problems of one place in the configuration, each "field: what".
using Note =
    std::function<void(const std::string& where, const std::vector<std::string>& problems)>;

void CheckSenders(const Config& config, const Note& note) {
  std::vector<std::string> problems;
  auto export_files = [&](const char* where, const auto& options) {
    problems.clear();
    net::TlsClientOptions tls;
    tls.ca_file = options.ca_file;
    if (Status status = net::TlsClient::Create(tls).status(); !status.ok())
      problems.emplace_back(status.message());  // which begins with the field
    if (Status status = ReadHeadersFile(options.headers_file).status(); !status.ok())
      problems.push_back(StrCat("headers_file: ", status.message()));
    note(where, problems);
  };
  export_files("telemetry.tracing", config.telemetry.tracing);
  export_files("telemetry.metrics.otlp", config.telemetry.metrics.otlp);

  if (config.monitor.send_profiles)
    note("monitor.send_profiles", CheckTargetFiles(config.monitor.send_profiles->target));
  const Config::Alarms& alarms = config.alarms;
  for (size_t i = 0; i < alarms.alertmanagers.size(); ++i)
    note(StrCat("alarms.alertmanagers[", i, "]"), CheckTargetFiles(alarms.alertmanagers[i].target));
  for (size_t i = 0; i < alarms.webhooks.size(); ++i) {
    const WebhookOptions& webhook = alarms.webhooks[i];
    problems = CheckTargetFiles(webhook.target);
    if (!webhook.secret_file.empty()) {
      const Status secret = ReadSecret(webhook.secret_file).status();
      if (!secret.ok()) problems.push_back(StrCat("secret_file: ", secret.message()));
    }
    note(StrCat("alarms.webhooks[", i, "]"), problems);
  }
  for (size_t i = 0; i < alarms.emails.size(); ++i)
    note(StrCat("alarms.emails[", i, "]"), CheckSmtpFiles(alarms.emails[i].smtp));
}

/// Of services that are spoken to over TLS.
void CheckGateway(const gateway::Options& options, const Note& note) {
  auto check = [&](const std::string& where,
                   const std::optional<gateway::UpstreamTlsOptions>& tls) {
    if (!tls) return;
    if (Status status = net::TlsClient::Create(tls->files()).status(); !status.ok())
      note(where, {std::string(status.message())});  // which begins with the field
  };
  for (size_t i = 0; i < options.services.size(); ++i) {
    const gateway::ServiceOptions& service = options.services[i];
    const std::string at = StrCat("gateway.services[", i, "].");
    check(at + "tls", service.tls);
    for (size_t v = 0; v < service.versions.size(); ++v)
      check(StrCat(at, "versions[", v, "].tls"), service.versions[v].tls);
  }
}

/// Of gates that ask outside.
void CheckGates(const Config& config, const Note& note) {
  auto check = [&](const std::string& model, const RolloutPlan& plan) {
    for (const RolloutGate& gate : plan.gates) {
      if (IsOutside(gate.kind))
        note(StrCat("gate ", NameOf(gate), " of model ", model), CheckTargetFiles(TargetOf(gate)));
    }
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const auto& hook = plan.steps[i].approval.webhook;
      if (!hook) continue;
      std::vector<std::string> problems = CheckTargetFiles(TargetOf(*hook));
      if (!hook->secret_file.empty()) {
        const Status secret = ReadSecret(hook->secret_file).status();
        if (!secret.ok()) problems.push_back(StrCat("secret_file: ", secret.message()));
      }
      note(StrCat("steps[", i, "].approval.webhook of model ", model), problems);
    }
  };
  for (const auto& [model, plan] : config.gateway_plans) check(model, plan);
  for (const Config::Model& model : config.models) {
    if (model.rollout) check(model.model.name, *model.rollout);
  }
}

}  // namespace

Status CheckNamedFiles(const Config& config) {
  std::string wrong;
  auto note = [&](const char* setting, const Status& status) {
    if (!status.ok()) wrong += StrCat(wrong.empty() ? "" : "\n", setting, ": ", status.message());
  };
  auto certificates = [&](const char* setting, const net::TlsServerOptions& options) {
    if (!options.enabled()) return;
    note(setting, net::ServerCertificates::Create(options, SystemClock()).status());
  };
  certificates("server.tls", config.server.tls);
  certificates("admin.tls", config.admin.tls);
  if (config.gateway) {
    for (size_t i = 0; i < config.gateway->listeners.size(); ++i)
      certificates(StrCat("gateway.listeners[", i, "].tls").c_str(),
                   config.gateway->listeners[i].tls);
  }
  if (const std::string& interpreter = config.backends.python.interpreter;
      interpreter.find('/') != std::string::npos) {
    const std::string why = python::WhyNotRunnable(interpreter);
    if (!why.empty()) note("backends.python.interpreter", FailedPreconditionError(why));
  }
  if (config.auth.enabled()) {
    note("auth.tokens_file", Authorizer::Create(config.auth, SystemClock()).status());
  }
  const Note of_field = [&](const std::string& where, const std::vector<std::string>& problems) {
    for (const std::string& problem : problems)
      wrong += StrCat(wrong.empty() ? "" : "\n", where, ".", problem);
  };
  CheckSenders(config, of_field);
  if (config.gateway) CheckGateway(*config.gateway, of_field);
  CheckGates(config, [&](const std::string& where, const std::vector<std::string>& problems) {
    for (const std::string& problem : problems)
      wrong += StrCat(wrong.empty() ? "" : "\n", where, ": ", problem);
  });
  if (const auto& redis = config.monitor.options.labels.redis) {
    for (const std::string& problem : CheckRedisFiles(*redis))
      wrong += StrCat(wrong.empty() ? "" : "\n", "monitor.labels.redis.", problem);
  }
  for (const auto& [model, monitoring] : MonitoringOf(config)) {
    const ReferenceConfig& reference = monitoring.reference;
    if (monitoring.enabled && reference.from == ReferenceConfig::From::kFile) {
      note(StrCat("monitoring.reference of model ", model).c_str(),
           ReadReferenceFile(reference.path, config.monitor.options.wide_input, 0).status());
    }
    const SchemaConfig& schema = monitoring.schema;
    // A table is read at the start alone: it may be large.
    if (!schema.enabled || !IsDataSchemaName(schema.path)) continue;
    note(StrCat("monitoring.schema of model ", model).c_str(),
         ReadDataSchema(schema.path).status());
  }
  if (Status redact = Redactor::Create(config.monitor.redact).status(); !redact.ok())
    wrong += StrCat(wrong.empty() ? "" : "\n", redact.message());
  return wrong.empty() ? OkStatus() : InvalidArgumentError(wrong);
}

Status CheckModels(const Config& config, const std::vector<std::string>& of_plugins) {
  std::vector<std::string> known = DetectableFormats();
  known.insert(known.end(), of_plugins.begin(), of_plugins.end());
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  std::vector<std::string> wrong;
  for (size_t i = 0; i < config.models.size(); ++i) {
    const ModelConfig& model = config.models[i].model;
    const std::string& format = model.format;
    if (!format.empty() && std::find(known.begin(), known.end(), format) == known.end()) {
      auto meant = DidYouMean(format, known);
      wrong.push_back(StrCat(
          "models[", i, "].format: nothing here serves \"", CutUtf8(format, 64), "\"",
          meant ? StrCat("; did you mean ", *meant, '?') : "", "; there are ", HumanList(known),
          ". Another model is served once it is exported to one of them, as onnx, or loaded by a "
          "model.py (format python; docs/python-models.md), or by a plug-in in plugins.dirs"));
    }
    if (std::string why = WhyNoModelFolder(model.path); !why.empty())
      wrong.push_back(StrCat("models[", i, "].path: ", why));
  }
  return wrong.empty() ? OkStatus() : InvalidArgumentError(Join(wrong, "\n"));
}

}  // namespace leadsman
