#pragma once

#include "base/schema.h"
#include "telemetry/alertmanager_sender.h"
#include "telemetry/mail_sender.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {

/// Tables of where alarms are sent. Immutable; thread-safe.
const schema::Struct<AlertmanagerOptions>& AlertmanagerOptionsSchema();
const schema::Struct<WebhookOptions>& WebhookOptionsSchema();
const schema::Struct<MailOptions>& MailOptionsSchema();

}  // namespace leadsman
