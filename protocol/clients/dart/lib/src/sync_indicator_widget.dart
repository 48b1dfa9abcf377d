import 'package:flutter/material.dart';
import 'package:flutter_riverpod/flutter_riverpod.dart';

import 'sync_status.dart';

/// An icon and a word for the daemon's status.
class SyncIndicatorWidget extends ConsumerWidget {
  /// For the widget tree.
  const SyncIndicatorWidget({super.key});

  @override
  Widget build(BuildContext context, WidgetRef ref) {
    final (icon, color, text) = switch (ref.watch(syncStatusProvider)) {
      SyncStatus.synced => (Icons.check_circle, Colors.green, 'Synced'),
      SyncStatus.syncing => (Icons.sync, Colors.blue, 'Syncing...'),
      SyncStatus.offline => (Icons.cloud_off, Colors.red, 'Offline'),
      SyncStatus.pending => (Icons.warning, Colors.orange, 'Pending'),
    };
    return Semantics(
      label: text,
      child: Row(
        mainAxisSize: MainAxisSize.min,
        children: [
          Icon(icon, color: color, size: 18),
          const SizedBox(width: 6),
          Text(text, style: TextStyle(color: color, fontSize: 12)),
        ],
      ),
    );
  }
}
