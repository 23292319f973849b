mod hostile;
mod ipv6;
mod matrix;
mod methods;
mod modes;
mod rotation;
mod site;
mod strangers;
