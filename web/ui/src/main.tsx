import { render } from 'preact';
import './styles/base.css';
import './styles/page.css';
import './styles/demo.css';
import './styles/queues.css';
import { address } from './address';
import { App } from './app';
import { Link } from './link/link';
import { name } from './profile';

const link = new Link({ name, pollingOnly: address.get('transport') === 'polling' });
link.connect();
render(<App link={link} />, document.getElementById('page')!);
