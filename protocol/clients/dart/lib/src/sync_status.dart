import 'package:flutter_riverpod/flutter_riverpod.dart';

/// The daemon's status in one word. The names are those of the wire.
enum SyncStatus { synced, syncing, offline, pending }

/// The status as the app shows it. A [SyncClient] sets the global one whenever the daemon's status changes.
class SyncStatusNotifier extends StateNotifier<SyncStatus> {
  /// Offline until the daemon says otherwise: nothing is known before.
  SyncStatusNotifier() : super(SyncStatus.offline);

  /// Shows another status.
  void setStatus(SyncStatus status) => state = status;
}

/// The one that [syncStatusProvider] gives.
final syncStatusNotifier = SyncStatusNotifier();

/// For widgets to watch.
final syncStatusProvider =
    StateNotifierProvider<SyncStatusNotifier, SyncStatus>((ref) => syncStatusNotifier);
