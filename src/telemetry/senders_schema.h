#pragma once

#include "base/schema.h"
#include "telemetry/alertmanager_sender.h"
#include "telemetry/mail_sender.h"
#include "telemetry/profile_sender.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {

/// Tables of where alarms and profiles are sent. Immutable; thread-safe.
const schema::Struct<AlertmanagerOptions>& AlertmanagerOptionsSchema();
const schema::Struct<WebhookOptions>& WebhookOptionsSchema();
const schema::Struct<MailOptions>& MailOptionsSchema();
const schema::Struct<ProfileSenderOptions>& ProfileSenderOptionsSchema();

}  // namespace leadsman
