"""What commands share: arguments, the connection, tables that are printed."""
