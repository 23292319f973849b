mod hostile;
mod matrix;
mod methods;
mod modes;
mod rotation;
mod site;
mod strangers;
