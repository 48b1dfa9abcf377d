/// The documented AdminEngine sync client's names, on top of the local sync daemon aesyncd.
library aesync;

export 'src/daemon_error.dart';
export 'src/sync_client.dart';
export 'src/sync_indicator_widget.dart';
export 'src/sync_notification.dart';
export 'src/sync_status.dart';
